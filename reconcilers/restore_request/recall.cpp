// The marks beside the target volumes, read for a request that knows nothing of its past.

#include "reconcilers/restore_request/recall.h"

#include "operator/base/log.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr std::size_t kMarkLimit = 1 << 20;

/// The mark's text, through a container that is only created: an archive call sees its mounts, nothing runs.
Result<std::optional<std::string>> read_mark(Run& run, const HostHandle& target, const crds::RestoreItem& item,
                                             const std::string& parent) {
  Engine& engine = *target.engine;
  const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = std::nullopt};
  auto made = mover_spec(run, target, job);
  if (!made) return tl::unexpected(made.error());
  const WorkerId id = run.worker_id(item.name, "recall", 1);
  if (auto removed = remove_worker(engine, id, std::chrono::seconds(0), run.limits); !removed)
    return tl::unexpected(removed.error());
  ContainerSpec& spec = made->container;
  spec.name = worker_name(id);
  spec.labels = worker_labels(id);
  spec.network_mode = "none";
  mount_parent(spec, parent, job);
  auto container = engine.create_container(spec, run.limits);
  if (!container) return tl::unexpected(container.error());
  const std::string path = fmt::format("{}/{}/{}/{}", kParent, mover::kOwnName,
                                       mover_target(run.request, item.name).request, mover::kMarkName);
  auto files = engine.download(*container, path, kMarkLimit, run.limits);
  if (auto removed = engine.remove_container(*container, true, run.limits); !removed)
    log_warning("a container is left for later", {{"container", spec.name}, {"why", removed.error().message}});
  if (!files && files.error().kind == ErrorKind::NotFound) return std::nullopt;
  if (!files) return tl::unexpected(files.error());
  if (files->empty()) return std::nullopt;
  return files->front().content;
}

/// Which tree is current now.
Result<std::uint64_t> data_inode(Run& run, const HostHandle& target, const crds::RestoreItem& item,
                                 const std::string& parent) {
  Engine& engine = *target.engine;
  const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = std::nullopt};
  auto made = mover_spec(run, target, job);
  if (!made) return tl::unexpected(made.error());
  WorkerSpec& spec = *made;
  spec.id = run.worker_id(item.name, "recall-inspect", 1);
  spec.container.network_mode = "none";
  mount_parent(spec.container, parent, job);
  // An answer from before a restart may be an old one.
  if (auto removed = remove_worker(engine, spec.id, std::chrono::seconds(0), run.limits); !removed)
    return tl::unexpected(removed.error());
  auto seen = ensure_worker(engine, spec, run.limits);
  if (seen && seen->state == WorkerState::Running) {
    (void)engine.wait_container(seen->id, run.limits);
    seen = observe_worker(engine, spec.id, run.limits);
  }
  if (!seen) return tl::unexpected(seen.error());
  (void)remove_worker(engine, spec.id, std::chrono::seconds(0), run.limits);
  if (!seen->result || !seen->result->ok)
    return fail(ErrorKind::Unavailable, "inspect of volume {} gave no answer: {}", item.to.volume, last_words(*seen));
  auto data = mover::parse_inspect_data(seen->result->data);
  if (!data || !data->volume)
    return fail(ErrorKind::Unavailable, "inspect of volume {} gave no answer", item.to.volume);
  return data->volume->inode;
}

}  // namespace

Result<std::vector<FoundMark>> find_marks(Run& run, const HostHandle& target) {
  std::vector<FoundMark> found;
  for (const auto& item : run.request.spec.items) {
    auto volume = target.engine->inspect_volume(item.to.volume, run.limits);
    if (!volume && volume.error().kind == ErrorKind::NotFound) continue;
    if (!volume) return tl::unexpected(volume.error());
    if (volume->driver != "local" || !volume->options.empty()) continue;  // nothing of ours is ever beside it
    const std::string parent = parent_of(volume->mountpoint);
    auto text = read_mark(run, target, item, parent);
    if (!text) return tl::unexpected(text.error());
    if (!*text) continue;
    auto mark = parse_mark(**text);
    if (!mark)
      return fail(ErrorKind::Invalid,
                  "the mark beside volume {} on {} cannot be read ({}); look at .roadstead/{} beside the volume's data",
                  item.to.volume, target.host.metadata.name, mark.error().message,
                  mover_target(run.request, item.name).request);
    FoundMark one{item.name, std::move(*mark), 0};
    if (one.mark.state == MarkState::Stopping) {
      auto inode = data_inode(run, target, item, parent);
      if (!inode) return tl::unexpected(inode.error());
      one.data_inode = *inode;
    }
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace roadstead::reconcilers::restore
