#include <fcntl.h>

#include <algorithm>
#include <set>

#include "mover/repository/manifest.h"
#include "mover/repository/upkeep.h"

namespace roadstead::mover {
namespace {

void tell(Told& told, std::string name) {
  if (told.count++ < Told::kNamed) told.names.push_back(std::move(name));
}

/// One run of "verify".
class Verification {
 public:
  Verification(const Verify& job, Repository& repository, const std::stop_token& stop, Meter& meter)
      : job_(job), repository_(repository), directory_(repository.directory()), stop_(stop), meter_(meter) {}

  Outcome<VerifyData> run();

 private:
  [[nodiscard]] bool in_part(const PackSeen& pack) const { return pack.id % job_.parts == job_.part; }
  Outcome<void> read_packs();
  Outcome<void> read_pack(const PackSeen& pack);
  Outcome<void> keep_damaged();
  Outcome<void> check_snapshots();
  Outcome<void> check_snapshot(const std::string& id);

  const Verify& job_;
  Repository& repository_;
  const RepositoryDirectory& directory_;
  const std::stop_token& stop_;
  Meter& meter_;

  std::set<DamagedExtent> before_, damaged_;
  std::set<Digest> lost_, missing_;
  RecordChecker checker_;
  VerifyData data_;
};

Outcome<void> Verification::read_packs() {
  std::uint64_t bytes = 0, packs = 0;
  for (const PackSeen& pack : repository_.packs()) {
    if (!in_part(pack)) continue;
    bytes += pack.bytes;
    ++packs;
  }
  meter_.enter("Verifying");
  meter_.set_totals(bytes, packs);
  for (const PackSeen& pack : repository_.packs())
    if (in_part(pack))
      if (auto read = read_pack(pack); !read) return read;
  return {};
}

Outcome<void> Verification::read_pack(const PackSeen& pack) {
  const auto file = open_pack(directory_, pack.id);
  if (!file) return failed(file.error());
  // What the disk has counts, not what the kernel remembers of it.
  ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
  ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::uint64_t told = 0;
  for (const PackedExtent& extent : extents_of(file->get(), pack)) {
    if (stop_.stop_requested()) return failed(cancelled());
    const auto right = checker_.read(file->get(), extent);
    if (!right) return failed(right.error());
    if (*right)
      damaged_.erase({extent.name, pack.id});
    else
      damaged_.insert({extent.name, pack.id});
    meter_.add(extent.record_bytes(), 0);
    told += extent.record_bytes();
  }
  meter_.add(pack.bytes - std::min(pack.bytes, told), 1);
  data_.bytes += pack.bytes;
  ++data_.packs;
  return {};
}

/// Also where the reading was cut off: what was found is not forgotten.
Outcome<void> Verification::keep_damaged() {
  std::set<PackId> there;
  for (const PackSeen& pack : repository_.packs()) there.insert(pack.id);
  std::erase_if(damaged_, [&](const DamagedExtent& one) { return !there.contains(one.pack); });
  if (damaged_ == before_) return {};
  return directory_.write_damaged({damaged_.begin(), damaged_.end()});
}

Outcome<void> Verification::check_snapshot(const std::string& id) {
  DamageSeen damage{id, {}};
  const auto manifest = ManifestView::open(directory_, id);
  if (!manifest) {
    if (manifest.error().reason == "NotFound") return {};
    tell(damage.files, "the snapshot's own manifest");
    data_.damage.push_back(std::move(damage));
    return {};
  }
  for (std::uint32_t entry = 0; entry < manifest->size(); ++entry) {
    bool whole = true;
    for (const Digest& name : (*manifest)[entry].digests) {
      if (repository_.has(name)) continue;
      whole = false;
      if (!lost_.contains(name)) missing_.insert(name);
    }
    if (!whole) tell(damage.files, manifest->path_of(entry));
  }
  if (damage.files.count > 0) data_.damage.push_back(std::move(damage));
  return {};
}

Outcome<void> Verification::check_snapshots() {
  // In this order: a backup that ended meanwhile had its packs in place before its snapshot.
  const auto ids = directory_.snapshot_ids();
  if (!ids) return failed(ids.error());
  if (auto loaded = repository_.reload(); !loaded) return loaded;
  const auto lost = repository_.lost();
  if (!lost) return failed(lost.error());
  lost_ = {lost->begin(), lost->end()};
  data_.damaged = lost_.size();
  for (const std::string& id : *ids) {
    if (stop_.stop_requested()) return failed(cancelled());
    if (auto checked = check_snapshot(id); !checked) return checked;
  }
  data_.missing = missing_.size();
  return {};
}

Outcome<VerifyData> Verification::run() {
  const auto before = directory_.damaged();
  if (!before) return failed(before.error());
  before_ = {before->begin(), before->end()};
  damaged_ = before_;
  const auto read = read_packs();
  if (auto kept = keep_damaged(); !kept) return failed(kept.error());
  if (!read) return failed(read.error());
  if (auto checked = check_snapshots(); !checked) return failed(checked.error());
  return data_;
}

}  // namespace

Outcome<VerifyData> verify(const Verify& job, const std::stop_token& stop, Meter& meter) {
  auto repository = Repository::open(job.path, Use::Verify);
  if (!repository) return failed(repository.error());
  return Verification(job, *repository, stop, meter).run();
}

}  // namespace roadstead::mover
