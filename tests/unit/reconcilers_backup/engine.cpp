#include <algorithm>

#include "tests/unit/reconcilers_backup/world.h"

namespace roadstead::testing {
namespace {

const std::string kRepository = mountpoint("roadstead_repository") + "/";

class FakeEngine final : public WorkerEngine {
 public:
  FakeEngine(World& world, HostState& host) : WorkerEngine(world, host), world_(world), host_(host) {}

  Result<ExecResult> exec(const std::string& name, const ExecSpec& spec, const Limits&) override {
    if (const auto container = enter(name); !container) return tl::unexpected(container.error());
    const std::string& word = spec.command.front();
    if (word == "resume" && copies_run()) violation("a hook after ran while a copy still did");
    if (!is_known_to_run(word)) violation("a hook was run that no status says was begun: " + word);
    world_.history.push_back("exec " + word);
    world_.exec_calls.push_back(world_.calls);
    const auto code = world_.exec_exit_codes.find(word);
    world_.called_after();
    return ExecResult{code == world_.exec_exit_codes.end() ? 0 : code->second, "", "no such key"};
  }

  Result<VolumeInfo> inspect_volume(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    if (!host_.volumes.contains(name)) return fail(ErrorKind::NotFound, "no volume {}", name);
    return VolumeInfo{name, "local", mountpoint(name), {}, {}, {}};
  }

 private:
  Result<void> creating(const ContainerSpec& spec) override {
    for (const auto& mount : spec.mounts) {
      if (mount.type == MountSpec::Type::Bind && !host_.repository.contains(directory_of(mount)))
        return fail(ErrorKind::Invalid, "invalid mount config: bind source path does not exist: {}", mount.source);
      if (mount.type == MountSpec::Type::Volume && !host_.volumes.contains(mount.source)) {
        host_.volumes[mount.source] = 0;  // as Docker does
        if (mount.source != "roadstead_repository") violation("an empty volume was made: " + mount.source);
      }
      if (mount.target == "/source" && !mount.read_only) violation("the source could be written to");
    }
    world_.created.push_back(spec);
    return {};
  }

  void started(Container& container) override {
    const std::string step = step_of(container);
    const int looks = step == "forget" ? world_.forget_looks : step.starts_with("look") ? world_.list_looks : 0;
    container.looks_left = std::max(container.looks_left, looks);
    judge_writers(container);
  }

  void complete(Container& worker) override {
    auto job = job_of(worker);
    if (!job) return end(worker, false, "InvalidJob");
    std::visit([&](const auto& one) { perform(worker, one); }, *job);
  }

  /// "production2/outpack" of a bind mount of the repository.
  static std::string directory_of(const MountSpec& mount) {
    return mount.source.starts_with(kRepository) ? mount.source.substr(kRepository.size()) : mount.source;
  }
  static const MountSpec* mount_at(const Container& container, const std::string& target) {
    const auto found = std::ranges::find(container.spec.mounts, target, &MountSpec::target);
    return found == container.spec.mounts.end() ? nullptr : &*found;
  }
  std::vector<mover::SnapshotSeen>& mounted(const Container& container, const std::string& target) {
    return host_.repository.at(directory_of(*mount_at(container, target)));
  }

  void judge_writers(const Container& started) {
    const auto* mount = mount_at(started, "/repository");
    if (mount == nullptr || mount->read_only || mount->type == MountSpec::Type::Volume) return;
    if (step_of(started) != "forget" && world_.times("exec save") == 0 && world_.times("exec resume") > 0)
      violation("a copy without its hook before");
    for (const auto& [id, other] : host_.containers) {
      const auto* same = mount_at(other, "/repository");
      if (id != started.id && other.state == ContainerState::Running && same != nullptr && !same->read_only &&
          same->source == mount->source)
        violation("two writers in " + mount->source);
    }
  }

  /// Some Backup's status says that the hook whose command begins with this word has been begun.
  bool is_known_to_run(const std::string& word) {
    for (const auto& [id, object] : world_.objects)
      if (object.at("kind") == "Backup")
        for (const auto& step :
             object.value("status", nlohmann::json::object()).value("steps", nlohmann::json::array()))
          if (step.at("state") == "Running" && step.at("name").get<std::string>().ends_with("/" + word)) return true;
    return false;
  }

  bool copies_run() {
    for (const auto& [name, host] : world_.hosts)
      for (const auto& [id, container] : host.containers)
        if (container.state == ContainerState::Running && step_of(container).starts_with("copy")) return true;
    return false;
  }

  // ---- movers

  template <class Other>
  void perform(Container& container, const Other&) {
    end(container, false, "NotExpected");
  }

  void perform(Container& container, const mover::MakeDirectory& job) {
    const std::string directory = job.path.substr(std::string("/repository/").size());
    host_.repository.try_emplace(directory);
    world_.history.push_back("directory " + directory + "@" + host_.name);
    end(container, true, "Made");
  }

  void perform(Container& container, const mover::Snapshots&) {
    mover::SnapshotsData data;
    data.snapshots = mounted(container, "/repository");
    data.unreadable = host_.spoilt[directory_of(*mount_at(container, "/repository"))];
    end(container, true, "Listed", mover::to_json(data));
  }

  void perform(Container& container, const mover::Forget& job) {
    auto& snapshots = mounted(container, "/repository");
    const bool kept = std::ranges::any_of(snapshots, [&](const auto& one) {
      return one.kept && std::ranges::find(job.snapshots, one.id) != job.snapshots.end();
    });
    if (kept && !job.even_kept) return end(container, false, "Kept");
    std::erase_if(snapshots,
                  [&](const auto& one) { return std::ranges::find(job.snapshots, one.id) != job.snapshots.end(); });
    end(container, true, "Forgotten", mover::to_json(mover::ForgetData{}));
  }

  void perform(Container& container, const mover::Copy& copy) {
    if (copy.role == mover::Role::Both) return carry(container, host_, container, host_, copy, copy);
    const auto [peer, peer_state] = peer_of(container);
    if (peer == nullptr) return no_peer(container);
    HostState& peer_host = world_.hosts.at(peer_state->name);
    const auto other = job_of(*peer);
    const auto* theirs = other ? std::get_if<mover::Copy>(&*other) : nullptr;
    if (theirs == nullptr) return end(container, false, "InvalidJob");
    if (copy.role == mover::Role::Send) return carry(container, host_, *peer, peer_host, copy, *theirs);
    carry(*peer, peer_host, container, host_, *theirs, copy);
  }

  void carry(Container& sender, HostState& from, Container& receiver, HostState& to, const mover::Copy& sent,
             const mover::Copy& received) {
    const auto both_end = [&](bool ok, const std::string& reason, const mover::CopyData& data) {
      end(receiver, ok, reason, mover::to_json(data));
      if (&sender != &receiver) end(sender, ok, reason, mover::to_json(data));
    };
    const std::string directory = directory_of(*mount_at(receiver, "/repository"));
    auto& kept = to.repository.at(directory);
    mover::CopyData data;
    if (!world_.copy_failures.empty()) {
      const CopyFailure failure = world_.copy_failures.front();
      world_.copy_failures.pop_front();
      data.bytes_sent = failure.bytes_sent;
      data.needed_bytes = failure.needed_bytes;
      data.free_bytes = failure.free_bytes;
      world_.bytes_sent += failure.bytes_sent;
      return both_end(false, failure.reason, data);
    }
    const auto there = std::ranges::find(kept, received.snapshot->id, &mover::SnapshotSeen::id);
    if (there != kept.end()) {
      data.snapshot = *there;
      return both_end(true, "Copied", data);
    }
    mover::SnapshotSeen made;
    const auto* source = mount_at(sender, "/source");
    if (sent.source->snapshot) {
      const auto& originals = from.repository.at(directory_of(*source));
      const auto original = std::ranges::find(originals, *sent.source->snapshot, &mover::SnapshotSeen::id);
      if (original == originals.end()) return both_end(false, "NotFound", data);
      made = *original;
    } else {
      made.data_bytes = made.logical_bytes = from.volumes.at(source->source);
      made.files = 10;
      made.data_as_of = world_.clock.now();
      if (const auto bad = world_.unreadable.find(source->source); bad != world_.unreadable.end())
        made.unreadable = {1, {bad->second}};
    }
    made.id = received.snapshot->id;
    made.origin = received.snapshot->origin;
    if (!kept.empty()) data.previous = kept.back();
    kept.push_back(made);
    data.snapshot = made;
    data.bytes_total = made.data_bytes;
    data.bytes_sent = made.data_bytes;
    data.files_total = made.files;
    world_.bytes_sent += made.data_bytes;
    world_.history.push_back("copy " + directory + "@" + to.name);
    both_end(true, "Copied", data);
  }

  World& world_;
  HostState& host_;
};

}  // namespace

std::shared_ptr<Engine> World::engine(const std::string& host) {
  return std::make_shared<FakeEngine>(*this, hosts.at(host));
}

}  // namespace roadstead::testing
