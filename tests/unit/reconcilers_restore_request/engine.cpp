#include <algorithm>

#include "reconcilers/restore_request/run.h"
#include "reconcilers/support/labels.h"
#include "tests/unit/reconcilers_restore_request/world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;
using reconcilers::value_of;
namespace label = reconcilers::label;

class FakeEngine final : public WorkerEngine {
 public:
  FakeEngine(World& world, HostState& host) : WorkerEngine(world, host), world_(world), host_(host) {}

  Result<EngineInfo> info(const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    EngineInfo info;
    info.root_directory = "/var/lib/docker";
    return info;
  }

  Result<void> set_restart_policy(const std::string& name, const std::string& policy, int, const Limits&) override {
    auto container = enter(name);
    if (!container) return tl::unexpected(container.error());
    (*container)->restart_policy = policy;
    world_.called_after();
    return {};
  }
  Result<void> pause_container(const std::string& name, const Limits&) override {
    return turn(name, ContainerState::Running, ContainerState::Paused);
  }
  Result<void> unpause_container(const std::string& name, const Limits&) override {
    return turn(name, ContainerState::Paused, ContainerState::Running);
  }

  Result<ExecResult> exec(const std::string& name, const ExecSpec& spec, const Limits&) override {
    const auto container = enter(name);
    if (!container) return tl::unexpected(container.error());
    if ((*container)->state != ContainerState::Running)
      return fail(ErrorKind::Conflict, "container {} is not running", name);
    ExecResult result = host_.name == "annex2" ? barman(spec.command) : check_query(spec.command);
    world_.called_after();
    return result;
  }

  Result<std::vector<ArchiveFile>> download(const std::string& name, const std::string& path, std::size_t,
                                            const Limits&) override {
    const auto container = enter(name);
    if (!container) return tl::unexpected(container.error());
    const Volume* volume = volume_by_parent(**container);
    const bool has_marks = std::ranges::any_of((*container)->spec.mounts, is_marks);
    for (const auto& [name_of_volume, one] : host_.volumes) {
      if (&one != volume && !(has_marks && !one.options.empty())) continue;
      for (const auto& [request, beside] : one.beside)
        if (beside.mark && path == "/target/.roadstead/" + request + "/mark.json")
          return std::vector<ArchiveFile>{{.path = "mark.json", .content = *beside.mark}};
    }
    return fail(ErrorKind::NotFound, "no such path");
  }

  Result<VolumeInfo> inspect_volume(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    const auto found = host_.volumes.find(name);
    if (found == host_.volumes.end()) return fail(ErrorKind::NotFound, "no volume {}", name);
    return VolumeInfo{name, "local", mountpoint(name), {}, found->second.options, {}};
  }
  Result<VolumeInfo> create_volume(const std::string& name, const Labels&, const Limits& limits) override {
    make_volume(name);
    return inspect_volume(name, limits);
  }

 private:
  Result<void> creating(const ContainerSpec& spec) override {
    for (const auto& mount : spec.mounts)  // as an engine makes a volume that is mounted and missing
      if (mount.type == MountSpec::Type::Volume) make_volume(mount.source);
    return {};
  }

  Result<void> starting(const Container& container) override {
    const auto refused = world_.unstartable.find(container.spec.name);
    if (refused != world_.unstartable.end()) return fail(refused->second, "port 5432 is taken");
    return {};
  }

  void started(Container& container) override {
    if (is_worker(container))
      started_worker(container);
    else
      started_application(container);
  }

  void stopping(const Container& container) override {
    if (container.state != ContainerState::Running || is_worker(container)) return;
    if (container.restart_policy != "no") violation("stopped with a restart policy: " + container.spec.name);
    world_.history.push_back("stop " + container.spec.name);
  }

  void removing(const Container& container) override {
    if (!is_worker(container)) violation("an application was removed");
  }

  void complete(Container& worker) override {
    const auto job = job_of(worker);
    if (!job && job.error().kind == ErrorKind::NotFound) return complete_script(worker);
    if (!job) return end(worker, false, "BadJob");
    std::visit([&](const auto& one) { perform(worker, one); }, *job);
  }

  Result<void> turn(const std::string& name, ContainerState from, ContainerState to) {
    auto container = enter(name);
    if (!container) return tl::unexpected(container.error());
    if ((*container)->state != from) return fail(ErrorKind::Conflict, "container {} is not in that state", name);
    (*container)->state = to;
    world_.called_after();
    return {};
  }

  /// Unless it is there.
  void make_volume(const std::string& name) {
    if (!host_.volumes.contains(name))
      host_.volumes[name] = Volume{name, {}, {world_.next_inode(), "empty", false}, false, {}};
  }

  static bool is_marks(const MountSpec& mount) { return mount.source == mover::kMarksVolume; }

  /// By the bound parent of its data, or, of a volume with options, by itself in the place of its data.
  static Volume* volume_of(const Container& container, HostState& host) {
    for (const auto& mount : container.spec.mounts)
      for (auto& [name, volume] : host.volumes)
        if (mount.source == "/var/lib/docker/volumes/" + name ||
            (mount.source == name && mount.target == "/target/_data"))
          return &volume;
    return nullptr;
  }
  Volume* volume_by_parent(const Container& container) { return volume_of(container, host_); }

  static std::optional<mover::Copy> copy_of(const Container& container) {
    const auto job = job_of(container);
    const auto* copy = job ? std::get_if<mover::Copy>(&*job) : nullptr;
    return copy ? std::optional(*copy) : std::nullopt;
  }

  /// From when it runs, what is overwritten is neither the old nor the new.
  void started_worker(const Container& container) {
    const auto copy = copy_of(container);
    if (!copy || !copy->in_place || copy->in_place->compare_only) return;
    Volume& volume = *volume_by_parent(container);
    if (volume.used && volume.data.content != "old" && !world_.overwrites_while_running)
      violation("overwritten behind the application: " + volume.name);
    for (const auto& [id, one] : host_.containers)
      for (const auto& mount : one.spec.mounts)
        if (mount.source == volume.name && !is_worker(one) && one.state == ContainerState::Running &&
            !world_.overwrites_while_running)
          violation("overwritten under " + one.spec.name);
    volume.data = {volume.data.inode, "half", false};
    volume.used = false;
    world_.history.push_back("overwrite");
  }

  /// What the sender of a copy reads; nothing where it is not there.
  std::optional<std::string> content_at(const Container& sender, const std::string& host) {
    const auto copy = copy_of(sender);
    if (!copy->source->snapshot) return world_.recover;
    for (const auto& mount : sender.spec.mounts) {
      if (mount.target != copy->source->path) continue;
      const std::string root = mountpoint("roadstead_repository") + "/";
      if (!mount.source.starts_with(root) || !mount.read_only) return std::nullopt;
      for (const auto& seen : world_.snapshots[host + ":" + mount.source.substr(root.size())])
        if (seen.id == *copy->source->snapshot) return content_of_snapshot(seen.id);
    }
    return std::nullopt;
  }

  /// A database that is started on anything but whole data is what must never happen.
  void started_application(const Container& container) {
    world_.history.push_back("start " + container.spec.name);
    for (const auto& mount : container.spec.mounts) {
      const auto found = host_.volumes.find(mount.source);
      if (found == host_.volumes.end()) continue;
      found->second.used = true;
      const Tree& data = found->second.data;
      const bool whole =
          data.content == "old" || data.content.starts_with("snapshot ") || (data.content == "point" && data.finished);
      if (!whole) violation("started on half a copy: " + container.spec.name + " on " + data.content);
    }
  }

  // ---- workers

  void complete_script(Container& container) {
    if (step_of(container) == "prepare") {
      world_.recover = "base";
      return end(container, true, "Prepared", R"({"bytes":1000})");
    }
    if (world_.recover.empty()) return end(container, false, "NotPrepared");
    world_.recover = "point";
    end(container, true, "Replayed",
        R"({"state":"shut down in recovery","minRecoveryLSN":"0/3000100","minRecoveryTimeline":1,"backupStartLSN":"0/0",)"
        R"("redoWalFile":"000000010000000000000002","walSegmentBytes":16777216,"lastReceivedAt":1795392000})");
  }

  /// Both ends have the same one, and no transfer before had it.
  void use_key(const Container& sender, const Container& receiver) {
    const std::string path(mover::kKeyPath.substr(1));
    const std::string& key = sender.files.at(path);
    if (receiver.files.at(path) != key) violation("two ends with different keys");
    if (!world_.keys.insert(key).second) violation("a key is used again");
  }

  void perform(Container& container, const mover::Connect&) {
    const auto [peer, peer_host] = peer_of(container);
    if (peer == nullptr) return no_peer(container);
    end(*peer, true, "Connected");
    end(container, true, "Connected");
  }

  void perform(Container& container, const mover::Copy& copy) {
    if (copy.role == mover::Role::Both) return carry(container, host_, container, host_);
    const auto [peer, peer_state] = peer_of(container);
    if (peer == nullptr) return no_peer(container);
    HostState& peer_host = world_.hosts.at(peer_state->name);
    use_key(container, *peer);
    if (copy.role == mover::Role::Send) return carry(container, host_, *peer, peer_host);
    carry(*peer, peer_host, container, host_);
  }

  /// Sender and receiver are one where the job has both roles.
  void carry(Container& sender, const HostState& from, Container& receiver, HostState& to) {
    const bool alone = &sender == &receiver;
    const mover::Copy into = *copy_of(receiver);
    for (const char* needed : {"MKNOD", "SETFCAP"})
      if (std::ranges::find(receiver.spec.capabilities_add, needed) == receiver.spec.capabilities_add.end())
        violation(std::string("a tree is received without the capability ") + needed);
    Volume& volume = *volume_of(receiver, to);
    const auto content = content_at(sender, from.name);
    const bool gone = !content || content->empty();
    if (gone || !world_.copy_failure.empty()) {
      if (into.target && !volume.beside[into.target->request].tree)
        volume.beside[into.target->request].tree = Tree{world_.next_inode(), "half", false};
      if (!alone) end(sender, false, "ConnectionLost");
      return end(receiver, false, gone ? "NotFound" : world_.copy_failure);
    }
    const mover::CopyData data = into.target ? receive(volume.beside[into.target->request], *content)
                                             : overwrite(volume, *into.in_place, *content);
    world_.bytes_sent += data.bytes_sent;
    if (!alone) end(sender, true, "Copied", mover::to_json(data));
    end(receiver, true, "Copied", mover::to_json(data));
  }

  mover::CopyData receive(Volume::Beside& beside, const std::string& content) {
    mover::CopyData data;
    data.bytes_total = data.bytes_done = World::kDatabaseBytes;
    const bool there = beside.tree && beside.tree->content == content;
    data.bytes_sent = there ? 0 : World::kDatabaseBytes;
    data.bytes_verified = there ? World::kDatabaseBytes : 0;
    if (!beside.tree) beside.tree = Tree{world_.next_inode(), "", false};
    beside.tree->content = content;
    data.tree_inode = beside.tree->inode;
    return data;
  }

  mover::CopyData overwrite(Volume& volume, const mover::InPlace& sink, const std::string& content) {
    mover::CopyData data;
    data.bytes_total = World::kDatabaseBytes;
    if (sink.compare_only) return data;
    data.bytes_done = data.bytes_sent = World::kDatabaseBytes;
    volume.data.content = content;
    volume.data.finished = !sink.files.empty();
    if (content == "point" && sink.keystone != "global/pg_control") violation("no keystone");
    return data;
  }

  void perform(Container& container, const mover::Survey&) { end(container, false, "Unexpected"); }

  void perform(Container& container, const mover::Inspect& inspect) {
    mover::InspectData data;
    mover::VolumeSeen seen;
    seen.free_bytes = static_cast<std::uint64_t>(host_.free_bytes);
    seen.same_device = true;
    if (Volume* volume = volume_by_parent(container)) {
      seen.exists = true;
      seen.inode = volume->data.inode;
      if (inspect.sizes) seen.allocated_bytes = static_cast<std::uint64_t>(world_.allocated_bytes);
      for (const auto& [request, beside] : volume->beside)
        seen.requests.push_back({request, beside.mark, beside.tree ? std::optional(beside.tree->inode) : std::nullopt});
    }
    data.volume = seen;
    end(container, true, "Inspected", mover::to_json(data));
  }

  void perform(Container& container, const mover::Mark& mark) {
    volume_by_parent(container)->beside[mark.target.request].mark = mark.content;
    end(container, true, "Marked");
  }

  void perform(Container& container, const mover::Finish& finish) {
    auto& tree = volume_by_parent(container)->beside[finish.target.request].tree;
    if (!tree) return end(container, false, "NoTree");
    tree->finished = true;
    end(container, true, "Finished");
  }

  void perform(Container& container, const mover::Exchange& exchange) {
    Volume& volume = *volume_by_parent(container);
    auto& tree = volume.beside[exchange.target.request].tree;
    if (volume.data.inode != exchange.inode) {
      if (!tree || tree->inode != exchange.inode) return end(container, false, "NoSuchTree");
      for (const auto& [id, one] : host_.containers)
        for (const auto& mount : one.spec.mounts)
          if (mount.source == volume.name && one.state == ContainerState::Running)
            violation("exchanged under " + one.spec.name);
      std::swap(volume.data, *tree);
      volume.used = false;
      world_.history.push_back("exchange");
    }
    end(container, true, "Exchanged",
        mover::to_json(mover::ExchangeData{false, volume.undone ? 0 : volume.data.inode, tree ? tree->inode : 0}));
  }

  void perform(Container& container, const mover::Discard& discard) {
    volume_by_parent(container)->beside[discard.target.request].tree.reset();
    end(container, true, "Discarded");
  }
  void perform(Container& container, const mover::Snapshots& job) {
    mover::SnapshotsData data;
    for (const auto& mount : container.spec.mounts) {
      const std::string root = mountpoint("roadstead_repository") + "/";
      if (mount.target != job.path || !mount.source.starts_with(root)) continue;
      data.snapshots = world_.snapshots[host_.name + ":" + mount.source.substr(root.size())];
    }
    end(container, true, "Listed", mover::to_json(data));
  }
  void perform(Container& container, const mover::Forget&) { end(container, false, "Unexpected"); }
  void perform(Container& container, const mover::Keep&) { end(container, false, "Unexpected"); }
  void perform(Container& container, const mover::Verify&) { end(container, false, "Unexpected"); }
  void perform(Container& container, const mover::Empty&) { end(container, true, "Emptied"); }
  void perform(Container& container, const mover::MakeDirectory&) { end(container, true, "Made"); }

  // ---- barman and psql

  static ExecResult answer(const Json& json) { return {0, json.dump(), ""}; }

  ExecResult barman(const std::vector<std::string>& command) {
    const auto has = [&](std::string_view word) { return std::ranges::find(command, word) != command.end(); };
    constexpr const char* kBackup = "20261101T000003";
    if (has("list-backups"))
      return answer({{"montagu",
                      {{{"backup_id", kBackup},
                        {"backup_type", "full"},
                        {"status", "DONE"},
                        {"end_time_timestamp", "1793491300"},
                        {"size_bytes", World::kDatabaseBytes}}}}});
    if (has("show-backup"))
      return answer({{"montagu",
                      {{"backup_id", kBackup},
                       {"status", "DONE"},
                       {"backup_type", "full"},
                       {"cluster_size_bytes", World::kDatabaseBytes},
                       {"base_backup_information",
                        {{"begin_lsn", "0/1000028"},
                         {"end_lsn", "0/2000000"},
                         {"begin_wal", world_.segments.front()},
                         {"end_wal", "000000010000000000000001"},
                         {"timeline", 1},
                         {"end_time_timestamp", "1793491300"}}}}}});
    if (has("--status"))
      return answer({{"montagu", {{"keep_status", {{"message", world_.kept.contains(kBackup) ? "full" : "nokeep"}}}}}});
    if (has("--release")) {
      world_.kept.erase(kBackup);
      return answer(Json::object());
    }
    if (has("keep")) {
      world_.kept.insert(kBackup);
      return answer(Json::object());
    }
    if (has("psql")) return production(command.back());
    if (command.size() > 2 && command[2].find("find streaming") != std::string::npos) {
      std::string out;
      for (const auto& segment : world_.segments)
        if (segment.substr(8) >= command[5] && segment.substr(8) <= command[6]) out += segment + "\n";
      return {0, out, ""};
    }
    return {0, "", ""};
  }

  ExecResult production(const std::string& sql) {
    if (!world_.production_reachable) return {2, "", "psql: error: connection to server failed: Connection refused"};
    if (sql.find("'roadstead-") != std::string::npos) {
      world_.restore_points += 1;
      return {0, "0/3000100 000000010000000000000003\n", ""};
    }
    if (sql.find("create_restore_point") != std::string::npos) return {0, "0/4000100 000000010000000000000004\n", ""};
    return {0, "0/3000200\n", ""};
  }

  ExecResult check_query(const std::vector<std::string>& command) {
    if (command.back().find("pg_is_in_recovery") != std::string::npos)
      return {0, world_.in_recovery ? "t\n" : "f\n", ""};
    return {0, world_.check_answer + "\n", ""};
  }

  World& world_;
  HostState& host_;
};

}  // namespace

std::shared_ptr<Engine> World::engine(const std::string& host) {
  return std::make_shared<FakeEngine>(*this, hosts.at(host));
}

}  // namespace roadstead::testing
