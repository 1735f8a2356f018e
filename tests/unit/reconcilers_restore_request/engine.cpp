#include <algorithm>

#include "reconcilers/restore_request/run.h"
#include "reconcilers/support/labels.h"
#include "tests/unit/reconcilers_restore_request/world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;
using reconcilers::value_of;
namespace label = reconcilers::label;

std::string step_of(const Container& container) { return value_of(container.spec.labels, label::kStep); }
bool is_worker(const Container& container) {
  return value_of(container.spec.labels, label::kRole) == reconcilers::kWorkerRole;
}

class FakeEngine final : public Engine {
 public:
  FakeEngine(World& world, std::string host) : world_(world), host_(world.hosts.at(host)) {}

  Result<EngineInfo> info(const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    EngineInfo info;
    info.root_directory = "/var/lib/docker";
    return info;
  }

  Result<std::string> create_container(const ContainerSpec& spec, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    if (find(spec.name)) return fail(ErrorKind::Conflict, "name {} is taken", spec.name);
    Container container;
    container.id = world_.next_id();
    container.spec = spec;
    container.restart_policy = spec.restart_policy;
    const std::string id = container.id;
    for (const auto& mount : container.spec.mounts)  // as an engine makes a volume that is mounted and missing
      if (mount.type == MountSpec::Type::Volume && !host_.volumes.contains(mount.source))
        host_.volumes[mount.source] = Volume{mount.source, {}, {world_.next_inode(), "empty", false}, false, {}};
    host_.containers.emplace(id, std::move(container));
    world_.called_after();
    return id;
  }

  Result<void> start_container(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return e;
    Container* container = find(name);
    if (!container) return gone(name);
    if (container->state == ContainerState::Running) return {};
    if (const auto refused = world_.unstartable.find(container->spec.name); refused != world_.unstartable.end())
      return fail(refused->second, "port 5432 is taken");
    container->state = ContainerState::Running;
    container->started_at = world_.clock.now();
    container->looks_left = 2;
    if (is_worker(*container))
      started_worker(*container);
    else
      started_application(*container);
    world_.called_after();
    return {};
  }

  Result<void> stop_container(const std::string& name, std::chrono::seconds, const Limits&) override {
    if (auto e = enter(); !e) return e;
    Container* container = find(name);
    if (!container) return gone(name);
    if (container->state == ContainerState::Running && !is_worker(*container)) {
      if (container->restart_policy != "no")
        world_.violations.push_back("stopped with a restart policy: " + container->spec.name);
      world_.history.push_back("stop " + container->spec.name);
    }
    container->state = ContainerState::Exited;
    world_.called_after();
    return {};
  }

  Result<void> kill_container(const std::string& name, const std::string&, const Limits& limits) override {
    return stop_container(name, {}, limits);
  }

  Result<void> remove_container(const std::string& name, bool, const Limits&) override {
    if (auto e = enter(); !e) return e;
    if (Container* container = find(name)) {
      if (!is_worker(*container)) world_.violations.push_back("an application was removed");
      host_.containers.erase(container->id);
    }
    world_.called_after();
    return {};
  }

  Result<ContainerInfo> inspect_container(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    Container* container = find(name);
    if (!container) return tl::unexpected(gone(name).error());
    if (container->state == ContainerState::Running && is_worker(*container) && --container->looks_left <= 0)
      complete(*container);
    ContainerInfo info;
    info.id = container->id;
    info.name = container->spec.name;
    info.state = container->state;
    info.exit_code = container->exit_code;
    info.labels = container->spec.labels;
    info.restart_policy = container->restart_policy;
    info.auto_remove = container->auto_remove;
    info.started_at = container->started_at;
    info.finished_at = container->finished_at;
    if (container->state == ContainerState::Running)
      for (const auto& port : container->spec.ports)
        info.published_ports[std::to_string(port.container) + "/tcp"] = port.host;
    return info;
  }

  Result<std::vector<ContainerSummary>> list_containers(const Labels& labels, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    std::vector<ContainerSummary> all;
    for (const auto& [id, container] : host_.containers) {
      const bool fits = std::ranges::all_of(
          labels, [&](const auto& pair) { return value_of(container.spec.labels, pair.first) == pair.second; });
      if (!fits) continue;
      ContainerSummary one{id, container.spec.name, container.spec.image, container.state, container.spec.labels, {}};
      for (const auto& mount : container.spec.mounts) {
        const bool volume = mount.type == MountSpec::Type::Volume;
        one.mounts.push_back({volume ? "volume" : "bind", volume ? mount.source : "",
                              volume ? mountpoint(mount.source) : mount.source, mount.target, mount.read_only});
      }
      all.push_back(std::move(one));
    }
    return all;
  }

  Result<void> set_restart_policy(const std::string& name, const std::string& policy, int, const Limits&) override {
    if (auto e = enter(); !e) return e;
    Container* container = find(name);
    if (!container) return gone(name);
    container->restart_policy = policy;
    world_.called_after();
    return {};
  }
  Result<void> pause_container(const std::string& name, const Limits&) override {
    return turn(name, ContainerState::Running, ContainerState::Paused);
  }
  Result<void> unpause_container(const std::string& name, const Limits&) override {
    return turn(name, ContainerState::Paused, ContainerState::Running);
  }

  Result<int> wait_container(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    Container* container = find(name);
    if (!container) return tl::unexpected(gone(name).error());
    if (container->state == ContainerState::Running && is_worker(*container)) complete(*container);
    return container->exit_code;
  }

  Result<std::vector<LogLine>> logs(const std::string& name, const LogOptions&, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    Container* container = find(name);
    if (!container) return tl::unexpected(gone(name).error());
    std::vector<LogLine> lines;
    for (const auto& line : container->log) lines.push_back({world_.clock.now(), false, line});
    return lines;
  }
  Result<void> follow_logs(const std::string&, const LogOptions&, const std::function<bool(const LogLine&)>&,
                           const Limits&) override {
    return {};
  }

  Result<ExecResult> exec(const std::string& name, const ExecSpec& spec, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    Container* container = find(name);
    if (!container) return tl::unexpected(gone(name).error());
    if (container->state != ContainerState::Running)
      return fail(ErrorKind::Conflict, "container {} is not running", name);
    ExecResult result = host_.name == "annex2" ? barman(spec.command) : check_query(spec.command);
    world_.called_after();
    return result;
  }

  Result<void> upload(const std::string& name, const std::string&, std::span<const ArchiveFile> files,
                      const Limits&) override {
    if (auto e = enter(); !e) return e;
    Container* container = find(name);
    if (!container) return gone(name);
    for (const auto& file : files) container->files[file.path] = file.content;
    world_.called_after();
    return {};
  }

  Result<std::vector<ArchiveFile>> download(const std::string& name, const std::string& path, std::size_t,
                                            const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    Container* container = find(name);
    if (!container) return tl::unexpected(gone(name).error());
    const Volume* volume = volume_by_parent(*container);
    const bool has_marks = std::ranges::any_of(container->spec.mounts, is_marks);
    for (const auto& [name_of_volume, one] : host_.volumes) {
      if (&one != volume && !(has_marks && !one.options.empty())) continue;
      for (const auto& [request, beside] : one.beside)
        if (beside.mark && path == "/target/.roadstead/" + request + "/mark.json")
          return std::vector<ArchiveFile>{{.path = "mark.json", .content = *beside.mark}};
    }
    return fail(ErrorKind::NotFound, "no such path");
  }

  Result<ImageInfo> inspect_image(const std::string&, const Limits&) override { return ImageInfo{}; }
  Result<void> pull_image(const std::string&, const std::optional<RegistryCredentials>&, const Limits&) override {
    return {};
  }
  Result<void> load_image(const ByteSource&, const Limits&) override { return {}; }
  Result<void> import_image(const ByteSource&, const std::string&, std::span<const std::string>,
                            const Limits&) override {
    return {};
  }

  Result<std::vector<VolumeInfo>> list_volumes(const Limits&) override { return std::vector<VolumeInfo>{}; }
  Result<VolumeInfo> inspect_volume(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    const auto found = host_.volumes.find(name);
    if (found == host_.volumes.end()) return fail(ErrorKind::NotFound, "no volume {}", name);
    return VolumeInfo{name, "local", mountpoint(name), {}, found->second.options, {}};
  }
  Result<VolumeInfo> create_volume(const std::string& name, const Labels&, const Limits& limits) override {
    if (!host_.volumes.contains(name))
      host_.volumes[name] = Volume{name, {}, {world_.next_inode(), "empty", false}, false, {}};
    return inspect_volume(name, limits);
  }
  Result<void> remove_volume(const std::string&, const Limits&) override { return {}; }
  Result<std::vector<VolumeInfo>> disk_usage(const Limits&) override { return std::vector<VolumeInfo>{}; }
  Result<void> events(const Labels&, const std::function<bool(const EngineEvent&)>&, const Limits&) override {
    return {};
  }

 private:
  Result<void> enter() {
    if (auto done = world_.called(); !done) return done;
    if (!host_.reachable) return fail(ErrorKind::Unavailable, "connection refused");
    return {};
  }
  Result<void> turn(const std::string& name, ContainerState from, ContainerState to) {
    if (auto e = enter(); !e) return e;
    Container* container = find(name);
    if (!container) return gone(name);
    if (container->state != from) return fail(ErrorKind::Conflict, "container {} is not in that state", name);
    container->state = to;
    world_.called_after();
    return {};
  }
  static tl::unexpected<Error> gone_error(const std::string& name) {
    return fail(ErrorKind::NotFound, "no container {}", name);
  }
  static Result<void> gone(const std::string& name) { return gone_error(name); }
  static std::string mountpoint(const std::string& volume) { return "/var/lib/docker/volumes/" + volume + "/_data"; }

  Container* find(const std::string& name) {
    for (auto& [id, container] : host_.containers)
      if (id == name || container.spec.name == name) return &container;
    return nullptr;
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

  HostState& host_of(const Container& container) {
    for (auto& [name, host] : world_.hosts)
      if (host.containers.contains(container.id)) return host;
    return host_;
  }

  static std::optional<mover::Copy> copy_of(const Container& container) {
    const auto file = container.files.find(std::string(mover::kJobPath.substr(1)));
    if (file == container.files.end()) return std::nullopt;
    const auto job = mover::parse_job(file->second);
    if (!job || !std::holds_alternative<mover::Copy>(*job)) return std::nullopt;
    return std::get<mover::Copy>(*job);
  }

  /// From when it runs, what is overwritten is neither the old nor the new.
  void started_worker(const Container& container) {
    const auto copy = copy_of(container);
    if (!copy || !copy->in_place || copy->in_place->compare_only) return;
    Volume& volume = *volume_by_parent(container);
    if (volume.used && volume.data.content != "old" && !world_.overwrites_while_running)
      world_.violations.push_back("overwritten behind the application: " + volume.name);
    for (const auto& [id, one] : host_.containers)
      for (const auto& mount : one.spec.mounts)
        if (mount.source == volume.name && !is_worker(one) && one.state == ContainerState::Running &&
            !world_.overwrites_while_running)
          world_.violations.push_back("overwritten under " + one.spec.name);
    volume.data = {volume.data.inode, "half", false};
    volume.used = false;
    world_.history.push_back("overwrite");
  }

  /// What the sender of a copy reads; nothing where it is not there.
  std::optional<std::string> content_at(const Container& sender) {
    const auto copy = copy_of(sender);
    if (!copy->source->snapshot) return world_.recover;
    for (const auto& mount : sender.spec.mounts) {
      if (mount.target != copy->source->path) continue;
      const std::string root = mountpoint("roadstead_repository") + "/";
      if (!mount.source.starts_with(root) || !mount.read_only) return std::nullopt;
      for (const auto& seen : world_.snapshots[host_of(sender).name + ":" + mount.source.substr(root.size())])
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
      if (!whole) world_.violations.push_back("started on half a copy: " + container.spec.name + " on " + data.content);
    }
  }

  // ---- workers

  void end(Container& container, bool ok, std::string reason, const std::string& data = "{}") {
    container.state = ContainerState::Exited;
    container.exit_code = ok ? 0 : 1;
    container.finished_at = world_.clock.now();
    container.log.push_back(mover::to_json(mover::Line(mover::WorkerResult{ok, reason, reason + ".", "", data})));
  }

  void complete(Container& container) {
    const auto file = container.files.find(std::string(mover::kJobPath.substr(1)));
    if (file == container.files.end()) return complete_script(container);
    auto job = mover::parse_job(file->second);
    if (!job) return end(container, false, "BadJob");
    std::visit([&](const auto& one) { perform(container, one); }, *job);
  }

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

  /// The peer of a container, on the other host: same owner, other end.
  Container* peer_of(const Container& container) {
    const std::string step = step_of(container);
    const auto dash = step.rfind('-') + 1;
    static const std::map<std::string, std::string> kOther{
        {"send", "receive"}, {"receive", "send"}, {"source", "target"}, {"target", "source"}};
    const std::string other = step.substr(0, dash) + kOther.at(step.substr(dash));
    for (auto& [name, host] : world_.hosts)
      for (auto& [id, one] : host.containers)
        if (step_of(one) == other && one.state == ContainerState::Running &&
            value_of(one.spec.labels, label::kAttempt) == value_of(container.spec.labels, label::kAttempt))
          return &one;
    return nullptr;
  }

  /// A peer that is not there yet is waited for, for a while.
  void no_peer(Container& container) {
    constexpr int kPatience = 6;
    if (++container.waits > kPatience) end(container, false, "ConnectionLost");
  }

  /// Both ends have the same one, and no transfer before had it.
  void use_key(const Container& sender, const Container& receiver) {
    const std::string path(mover::kKeyPath.substr(1));
    const std::string& key = sender.files.at(path);
    if (receiver.files.at(path) != key) world_.violations.push_back("two ends with different keys");
    if (!world_.keys.insert(key).second) world_.violations.push_back("a key is used again");
  }

  void perform(Container& container, const mover::Connect&) {
    Container* peer = peer_of(container);
    if (peer == nullptr) return no_peer(container);
    end(*peer, true, "Connected");
    end(container, true, "Connected");
  }

  void perform(Container& container, const mover::Copy& copy) {
    Container* receiver = copy.role == mover::Role::Send ? peer_of(container) : &container;
    Container* sender = copy.role == mover::Role::Receive ? peer_of(container) : &container;
    if (receiver == nullptr || sender == nullptr) return no_peer(container);
    if (sender != receiver) use_key(*sender, *receiver);
    const mover::Copy into = *copy_of(*receiver);
    for (const char* needed : {"MKNOD", "SETFCAP"})
      if (std::ranges::find(receiver->spec.capabilities_add, needed) == receiver->spec.capabilities_add.end())
        world_.violations.push_back(std::string("a tree is received without the capability ") + needed);
    Volume& volume = *volume_of(*receiver, host_of(*receiver));
    const auto content = content_at(*sender);
    const bool gone = !content || content->empty();
    if (gone || !world_.copy_failure.empty()) {
      if (into.target && !volume.beside[into.target->request].tree)
        volume.beside[into.target->request].tree = Tree{world_.next_inode(), "half", false};
      if (sender != receiver) end(*sender, false, "ConnectionLost");
      return end(*receiver, false, gone ? "NotFound" : world_.copy_failure);
    }
    const mover::CopyData data = into.target ? receive(volume.beside[into.target->request], *content)
                                             : overwrite(volume, *into.in_place, *content);
    world_.bytes_sent += data.bytes_sent;
    if (sender != receiver) end(*sender, true, "Copied", mover::to_json(data));
    end(*receiver, true, "Copied", mover::to_json(data));
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
    if (content == "point" && sink.keystone != "global/pg_control") world_.violations.push_back("no keystone");
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
            world_.violations.push_back("exchanged under " + one.spec.name);
      std::swap(volume.data, *tree);
      volume.used = false;
      world_.history.push_back("exchange");
    }
    end(container, true, "Exchanged",
        mover::to_json(mover::ExchangeData{false, volume.data.inode, tree ? tree->inode : 0}));
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

std::shared_ptr<Engine> make_engine(World& world, const std::string& host) {
  return std::make_shared<FakeEngine>(world, host);
}

}  // namespace roadstead::testing
