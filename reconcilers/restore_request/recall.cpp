// The marks beside the target volumes, read for a request that knows nothing of its past.

#include "reconcilers/restore_request/recall.h"

#include <algorithm>

#include "operator/base/log.h"
#include "reconcilers/support/mover_worker.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr std::size_t kMarkLimit = 1 << 20;

/// The mark's text, through a container that is only created: an archive call sees its mounts, nothing runs.
Result<std::optional<std::string>> read_mark(Run& run, const HostHandle& target, const crds::RestoreItem& item,
                                             const VolumeInfo& volume) {
  Engine& engine = *target.engine;
  if (!is_plain(volume)) {
    auto marks = engine.inspect_volume(std::string(mover::kMarksVolume), run.limits);
    if (!marks && marks.error().kind == ErrorKind::NotFound) return std::nullopt;
    if (!marks) return tl::unexpected(marks.error());
  }
  const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = std::nullopt};
  auto made = mover_spec(run.context, target, job, run.limits);
  if (!made) return tl::unexpected(made.error());
  const WorkerId id = run.worker_id(item.name, "recall", 1);
  if (auto removed = remove_worker(engine, id, std::chrono::seconds(0), run.limits); !removed)
    return tl::unexpected(removed.error());
  ContainerSpec& spec = made->container;
  spec.name = worker_name(id);
  spec.labels = worker_labels(id);
  spec.network_mode = "none";
  if (is_plain(volume))
    mount_parent(spec, parent_of(volume.mountpoint), job);
  else
    spec.mounts.push_back(marks_mount(true));
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
Result<std::uint64_t> data_inode(Run& run, const HostHandle& target, const crds::RestoreItem& item) {
  Engine& engine = *target.engine;
  const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = std::nullopt};
  auto made = mover_spec(run.context, target, job, run.limits);
  if (!made) return tl::unexpected(made.error());
  WorkerSpec& spec = *made;
  spec.id = run.worker_id(item.name, "recall-inspect", 1);
  spec.container.network_mode = "none";
  if (auto mounted = mount_volume(run, target, item.to.volume, job, spec.container); !mounted)
    return tl::unexpected(mounted.error());
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
    auto text = read_mark(run, target, item, *volume);
    if (!text) return tl::unexpected(text.error());
    if (!*text) continue;
    auto mark = parse_mark(**text);
    if (!mark)
      return fail(ErrorKind::Invalid,
                  "the mark beside volume {} on {} cannot be read ({}); look at .roadstead/{} beside the volume's data",
                  item.to.volume, target.host.metadata.name, mark.error().message,
                  mover_target(run.request, item.name).request);
    found.push_back({item.name, std::move(*mark), 0});
  }
  // Where all of it ended, or nothing was stopped yet, nothing depends on which tree is current.
  const auto is_under_way = [](const FoundMark& one) {
    return one.mark.state != MarkState::Receipt && one.mark.state != MarkState::Preparing;
  };
  if (std::ranges::none_of(found, is_under_way)) return found;
  for (auto& one : found) {
    auto inode =
        data_inode(run, target, *std::ranges::find(run.request.spec.items, one.item, &crds::RestoreItem::name));
    if (!inode) return tl::unexpected(inode.error());
    one.data_inode = *inode;
  }
  return found;
}

}  // namespace roadstead::reconcilers::restore
