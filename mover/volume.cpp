#include "mover/volume.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <algorithm>
#include <fstream>

#include "mover/finish_file.h"
#include "mover/hash_file.h"
#include "mover/journal.h"
#include "mover/keystone.h"
#include "mover/place.h"
#include "mover/scan.h"

// <stdio.h> has these only with newer C libraries than some hosts' headers.
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

namespace roadstead::mover {
namespace {

constexpr std::size_t kMarkLimit = std::size_t{1} << 20;
constexpr const char* kDiscarded = "discarded";
const std::string kData{kDataName};
const std::string kTree{kTreeName};

/// Which mount a descriptor is on, as the kernel numbers them in this namespace; empty where it does not tell.
std::string mount_of(int fd) {
  std::ifstream info(fmt::format("/proc/self/fdinfo/{}", fd));
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("mnt_id:")) return line;
  return {};
}

Outcome<bool> is_mount_point(int parent, const std::string& name) {
  const auto directory = open_directory(parent, name);
  if (!directory) return failed(directory.error());
  return mount_of(directory->get()) != mount_of(parent);
}

// ---- inspect
// ---------------------------------------------------------------------------------------------------------

Outcome<SourceSeen> measure(const Source& source, const std::stop_token& stop) {
  const auto scanned = scan(source, stop);
  if (!scanned) return failed(scanned.error());
  SourceSeen seen{0, scanned->allocated_bytes, scanned->entries.files(), scanned->entries.size()};
  for (std::uint32_t id = 0; id < scanned->entries.size(); ++id)
    if (scanned->entries[id].type == EntryType::File) seen.logical_bytes += scanned->entries[id].size;
  return seen;
}

Outcome<RequestSeen> look_at_request(int own, const std::string& name) {
  RequestSeen seen{name, std::nullopt, std::nullopt};
  const auto directory = open_directory(own, name);
  if (!directory) return failed(directory.error());
  const Fd mark(
      ::openat(directory->get(), std::string(kMarkName).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  // Only one that is not there is none: whoever takes an unreadable one for that begins anew on half a restore.
  if (!mark && errno != ENOENT) return failed_call(errno, "open the mark of {}", name);
  if (mark) {
    auto text = content_of(mark.get(), kMarkLimit);
    if (!text) return failed(text.error());
    seen.mark = std::move(*text);
  }
  const auto tree = status_of(directory->get(), kTree);
  if (!tree) return failed(tree.error());
  if (*tree && S_ISDIR((*tree)->st_mode)) seen.tree_inode = (*tree)->st_ino;
  return seen;
}

/// What stands in the directory `name` of our things.
Outcome<std::vector<RequestSeen>> look_at_requests(int parent, std::string_view name_of_own = kOwnName) {
  std::vector<RequestSeen> seen;
  const auto own = open_directory_if_any(parent, std::string(name_of_own));
  if (!own) return failed(own.error());
  if (!*own) return seen;
  auto names = names_in((*own)->get());
  if (!names) return failed(names.error());
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (!is_request_name(name)) continue;
    auto request = look_at_request((*own)->get(), name);
    if (!request) return failed(request.error());
    seen.push_back(std::move(*request));
  }
  return seen;
}

Outcome<struct statvfs> space_at(int directory, const std::string& path) {
  struct statvfs space {};
  if (::fstatvfs(directory, &space) != 0) return failed_call(errno, "ask {} for free space", path);
  return space;
}

std::uint64_t free_bytes(const struct statvfs& space) { return std::uint64_t{space.f_bavail} * space.f_frsize; }
std::uint64_t total_bytes(const struct statvfs& space) { return std::uint64_t{space.f_blocks} * space.f_frsize; }

Outcome<VolumeSeen> look_at_volume(const std::string& path, bool sizes, const std::stop_token& stop) {
  VolumeSeen seen;
  const auto parent = open_root(path);
  if (!parent) return failed(parent.error());
  const auto parent_status = status_of(parent->get());
  if (!parent_status) return failed(parent_status.error());
  const auto space = space_at(parent->get(), path);
  if (!space) return failed(space.error());
  seen.free_bytes = free_bytes(*space);
  seen.total_bytes = total_bytes(*space);
  seen.free_inodes = space->f_favail;
  const auto data = status_of(parent->get(), kData);
  if (!data) return failed(data.error());
  if (*data && S_ISDIR((*data)->st_mode)) {
    seen.exists = true;
    seen.inode = (*data)->st_ino;
    seen.same_device = (*data)->st_dev == parent_status->st_dev;
    const auto mounted = is_mount_point(parent->get(), kData);
    if (!mounted) return failed(mounted.error());
    seen.mount_point = *mounted;
  }
  if (sizes && seen.exists) {
    const auto measured = measure(Source{path + "/" + kData, {}, std::nullopt}, stop);
    if (!measured) return failed(measured.error());
    seen.logical_bytes = measured->logical_bytes;
    seen.allocated_bytes = measured->allocated_bytes;
    seen.files = measured->files;
  }
  auto requests = look_at_requests(parent->get());
  if (!requests) return failed(requests.error());
  seen.requests = std::move(*requests);
  return seen;
}

// ---- exchange -------------------------------------------------------------------------------------------------------

/// A volume keeps its own label; only that of its root is known to be right for it. No label, nothing to keep.
Outcome<void> keep_label(int parent, int request) {
  constexpr const char* kLabel = "security.selinux";
  const auto data = open_directory(parent, kData);
  if (!data) return failed(data.error());
  std::string label(4096, '\0');
  const ssize_t n = ::fgetxattr(data->get(), kLabel, label.data(), label.size());
  if (n <= 0) return {};
  const auto tree = open_directory(request, kTree);
  if (!tree) return failed(tree.error());
  if (::fsetxattr(tree->get(), kLabel, label.data(), static_cast<std::size_t>(n), 0) != 0 && errno != EOPNOTSUPP)
    return failed_call(errno, "give the new tree the volume's label");
  return {};
}

tl::unexpected<Failure> mismatch(std::uint64_t wanted, const std::optional<struct stat>& data,
                                 const std::optional<struct stat>& tree) {
  const auto named = [](const std::optional<struct stat>& status) {
    return status ? fmt::format("inode {}", status->st_ino) : std::string("missing");
  };
  return failed(
      "InodeMismatch",
      fmt::format("neither {} ({}) nor the staged tree ({}) is inode {}", kDataName, named(data), named(tree), wanted),
      "inspect the volume; if the staged tree is gone, copy again. Nothing was touched");
}

Outcome<void> may_be_exchanged(int parent) {
  const auto parent_status = status_of(parent);
  const auto data = status_of(parent, kData);
  if (!parent_status) return failed(parent_status.error());
  if (!data) return failed(data.error());
  const auto mounted = is_mount_point(parent, kData);
  if (!mounted) return failed(mounted.error());
  constexpr const char* kNext = "restore this volume in place; nothing was touched";
  if (*mounted) return failed("MountPoint", fmt::format("{} is a mount point", kDataName), kNext);
  if ((*data)->st_dev != parent_status->st_dev)
    return failed("OtherDevice", fmt::format("{} is on another device than its parent", kDataName), kNext);
  return {};
}

Outcome<void> sync_both(const Place& place) {
  if (auto synced = sync_directory(place.parent.get()); !synced) return synced;
  return sync_directory(place.request.get());
}

tl::unexpected<Failure> no_tree(const Target& target) {
  return failed("NotFound", fmt::format("{} has no staged tree", target.request), "copy first");
}

}  // namespace

Outcome<InspectData> inspect(const Inspect& job, const std::stop_token& stop) {
  InspectData data;
  if (job.parent) {
    auto seen = look_at_volume(*job.parent, job.sizes, stop);
    if (!seen) return failed(seen.error());
    data.volume = std::move(*seen);
  }
  if (job.source) {
    auto seen = measure(*job.source, stop);
    if (!seen) return failed(seen.error());
    data.source = *seen;
  }
  return data;
}

Outcome<SurveyData> survey(const Survey& job) {
  const auto volumes = open_root(job.volumes);
  if (!volumes) return failed(volumes.error());
  const auto space = space_at(volumes->get(), job.volumes);
  if (!space) return failed(space.error());
  SurveyData data{free_bytes(*space), total_bytes(*space), {}};
  auto names = names_in(volumes->get());
  if (!names) return failed(names.error());
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    const auto status = status_of(volumes->get(), name);
    if (!status) return failed(status.error());
    if (!*status || !S_ISDIR((*status)->st_mode)) continue;  // the engine's own files; a volume removed meanwhile
    const auto parent = open_directory_if_any(volumes->get(), name);
    if (!parent) return failed(parent.error());
    if (!*parent) continue;
    const bool holds_marks = name == kMarksVolume;
    const auto requests = look_at_requests((*parent)->get(), holds_marks ? kDataName : kOwnName);
    if (!requests) return failed(requests.error());
    for (const RequestSeen& request : *requests) {
      if (!request.mark) continue;
      MarkSeen mark = read_mark(*request.mark);
      if (!holds_marks || mark.volume.empty()) mark.volume = name;
      if (mark.state != kReceiptState) data.marks.push_back(std::move(mark));
    }
  }
  return data;
}

Outcome<void> mark(const Mark& job) {
  const auto place = make_place(job.target);
  if (!place) return failed(place.error());
  const int request = place->request.get();
  return write_durably(request, request, std::string(kMarkName), job.content, {::geteuid(), ::getegid(), 0600});
}

Outcome<ExchangeData> exchange(const Exchange& job) {
  const auto found = find_place(job.target);
  if (!found) return failed(found.error());
  if (!*found) return no_tree(job.target);
  const Place& place = **found;
  const auto data = place.data();
  if (!data) return failed(data.error());
  const auto tree = place.tree();
  if (!tree) return failed(tree.error());
  const auto inode_of = [](const std::optional<struct stat>& status) {
    return status ? std::uint64_t{status->st_ino} : 0;
  };
  if (inode_of(*data) == job.inode) {
    if (auto synced = sync_both(place); !synced) return failed(synced.error());
    return ExchangeData{true, job.inode, inode_of(*tree)};
  }
  if (!*data || inode_of(*tree) != job.inode) return mismatch(job.inode, *data, *tree);
  if (auto may = may_be_exchanged(place.parent.get()); !may) return failed(may.error());
  if (auto kept = keep_label(place.parent.get(), place.request.get()); !kept) return failed(kept.error());
  // By number: the C library's wrapper is younger than the call.
  if (::syscall(SYS_renameat2, place.parent.get(), kData.c_str(), place.request.get(), kTree.c_str(),
                RENAME_EXCHANGE) != 0)
    return failed_call(errno, "exchange {} and the staged tree", kDataName);
  if (auto synced = sync_both(place); !synced) return failed(synced.error());
  return ExchangeData{false, job.inode, inode_of(*data)};
}

Outcome<InodeData> finish(const Finish& job) {
  const auto found = find_place(job.target);
  if (!found) return failed(found.error());
  if (!*found) return no_tree(job.target);
  const auto tree = open_directory_if_any((*found)->request.get(), kTree);
  if (!tree) return failed(tree.error());
  if (!*tree) return no_tree(job.target);
  const auto root = status_of((*tree)->get());
  if (!root) return failed(root.error());
  for (const FinishFile& file : job.files)
    if (auto written = write_finish_file((*found)->request.get(), (*tree)->get(), root->st_uid, root->st_gid, file);
        !written)
      return failed(written.error());
  return InodeData{root->st_ino};
}

Outcome<RemovedData> discard(const Discard& job, const std::stop_token& stop) {
  const auto found = find_place(job.target);
  if (!found) return failed(found.error());
  if (!*found) return RemovedData{0};
  const Place& place = **found;
  const auto data = place.data();
  if (!data) return failed(data.error());
  const auto tree = place.tree();
  if (!tree) return failed(tree.error());
  const int request = place.request.get();
  if (*tree) {
    if (!*data)
      return failed("Refused", fmt::format("{} is missing, so the staged tree may be the only copy", kDataName),
                    "look at the volume; nothing was touched");
    if (job.inode != 0 && (*tree)->st_ino != job.inode) return mismatch(job.inode, *data, *tree);
    // Away from its name first: what is half removed can never be made current.
    if (auto rest = remove_tree(request, kDiscarded, stop); !rest) return failed(rest.error());
    if (::renameat(request, kTree.c_str(), request, kDiscarded) != 0) return failed_call(errno, "set the tree aside");
  }
  for (const char* notes : {kJournalName, kInPlaceJournalName, kHashesName, kNewKeystoneName})
    if (::unlinkat(request, notes, 0) != 0 && errno != ENOENT) return failed_call(errno, "remove {}", notes);
  if (auto synced = sync_directory(request); !synced) return failed(synced.error());
  const auto removed = remove_tree(request, kDiscarded, stop);
  if (!removed) return failed(removed.error());
  return RemovedData{*removed};
}

Outcome<RemovedData> empty(const Empty& job, const std::stop_token& stop) {
  const auto directory = open_root(job.path);
  if (!directory) return failed(directory.error());
  const auto names = names_in(directory->get());
  if (!names) return failed(names.error());
  RemovedData data;
  for (const std::string& name : *names) {
    if (std::find(job.keep.begin(), job.keep.end(), name) != job.keep.end()) continue;
    const auto removed = remove_tree(directory->get(), name, stop);
    if (!removed) return failed(removed.error());
    data.removed += *removed;
  }
  if (auto synced = sync_directory(directory->get()); !synced) return failed(synced.error());
  return data;
}

Outcome<InodeData> make_directory(const MakeDirectory& job) {
  auto at = open_root("/");
  if (!at) return failed(at.error());
  bool made = false;
  const auto dress = [&]() -> Outcome<void> {
    if (::fchown(at->get(), job.uid, job.gid) != 0) return failed_call(errno, "give {} its owner", job.path);
    if (::fchmod(at->get(), job.mode) != 0) return failed_call(errno, "give {} its mode", job.path);
    return sync_directory(at->get());
  };
  std::string_view rest(job.path);
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    if (name.empty()) continue;
    made = ::mkdirat(at->get(), name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return failed_call(errno, "make directory {}", job.path);
    auto next = open_directory(at->get(), name);
    if (!next) return failed(next.error());
    if (made)
      if (auto synced = sync_directory(at->get()); !synced) return failed(synced.error());
    at = std::move(next);
    if (made)
      if (auto dressed = dress(); !dressed) return failed(dressed.error());
  }
  if (!made)
    if (auto dressed = dress(); !dressed) return failed(dressed.error());
  const auto status = status_of(at->get());
  if (!status) return failed(status.error());
  return InodeData{status->st_ino};
}

}  // namespace roadstead::mover
