#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <set>

#include "mover/repository/manifest.h"
#include "mover/repository/upkeep.h"

namespace roadstead::mover {
namespace {

/// Many small packs, each of a small backup, are put together: an index is read pack by pack.
constexpr std::uint64_t kSmallPack = std::uint64_t{8} << 20;
constexpr std::size_t kManySmallPacks = 32;
constexpr std::int64_t kNanos = 1'000'000'000;

enum class Fate { Keep, Remove, Rewrite };

/// A pack and what of it is needed.
struct Judged {
  const PackSeen* pack = nullptr;
  std::vector<PackedExtent> live;
  std::uint64_t live_bytes = 0;  ///< Of their records.
  std::uint64_t dead_bytes = 0;
  bool damaged_end = false;
  Fate fate = Fate::Keep;
};

std::int64_t nanos_of(const struct stat& status) { return status.st_mtim.tv_sec * kNanos + status.st_mtim.tv_nsec; }

/// One run of "forget", in the order of its functions.
class Sweep {
 public:
  Sweep(const Forget& job, const Repository& repository, const std::stop_token& stop)
      : job_(job), repository_(repository), directory_(repository.directory()), stop_(stop) {}

  /// None of those that go is kept.
  Outcome<void> refuse_kept() const;
  /// Which manifests go and which stay, and since when packs belong to a backup that has not ended.
  Outcome<void> sort_snapshots();
  /// What the manifests that stay need.
  Outcome<void> mark();
  Outcome<void> judge();
  [[nodiscard]] ForgetData estimate() const;
  Outcome<ForgetData> carry_out();

 private:
  Outcome<void> mark(const std::string& id);
  void need_damaged(const Digest& name);
  Outcome<void> mark_bases();
  Outcome<Judged> judged(const PackSeen& pack) const;
  [[nodiscard]] bool unfinished(const PackSeen& pack) const;
  Outcome<void> keep_newest_time();
  Outcome<void> remove_manifests();
  Outcome<void> remove_dead();
  Outcome<void> remove_leftovers();
  Outcome<void> rewrite();
  Outcome<bool> copy(const Judged& judged);
  Outcome<void> close_pack();
  Outcome<void> remove(const PackSeen& pack);
  Outcome<void> tidy_damaged();

  const Forget& job_;
  const Repository& repository_;
  const RepositoryDirectory& directory_;
  const std::stop_token& stop_;

  std::vector<std::string> going_, staying_;
  std::uint64_t going_bytes_ = 0;
  bool nothing_stays_ = false;            ///< No snapshot is left of those there were: everything goes.
  std::optional<std::int64_t> newest_{};  ///< When the newest manifest was written,
  std::optional<std::pair<std::int64_t, std::string>> newest_staying_{};  ///< and the newest that stays.
  std::vector<bool> live_;                                                ///< By an extent's number.
  std::vector<DamagedExtent> damaged_;
  bool found_damaged_ = false;       ///< By this run.
  std::set<PackId> needed_damaged_;  ///< Packs with the only copy, damaged as it is, of what is needed.
  std::vector<Judged> packs_;

  std::optional<OpenPack> fresh_;      ///< The pack that is being written.
  std::vector<const Judged*> copied_;  ///< Whose live extents are in it, or in those before it.
  std::set<PackId> removed_;
  ForgetData done_;
};

Outcome<void> Sweep::refuse_kept() const {
  if (job_.even_kept) return {};
  const auto kept = directory_.kept();
  if (!kept) return failed(kept.error());
  for (const std::string& id : job_.snapshots) {
    if (!std::binary_search(kept->begin(), kept->end(), id)) continue;
    const auto status = status_of(directory_.snapshots(), id);
    if (!status) return failed(status.error());
    if (!*status) continue;
    return failed("Kept", fmt::format("snapshot {} in {} is kept; nothing was removed", id, directory_.path()),
                  "take spec.keep away from its Backup first");
  }
  return {};
}

Outcome<void> Sweep::sort_snapshots() {
  const auto ids = directory_.snapshot_ids();
  if (!ids) return failed(ids.error());
  for (const std::string& id : *ids) {
    const auto status = status_of(directory_.snapshots(), id);
    if (!status) return failed(status.error());
    if (!*status) continue;
    newest_ = std::max(newest_.value_or(nanos_of(**status)), nanos_of(**status));
    const bool goes = std::find(job_.snapshots.begin(), job_.snapshots.end(), id) != job_.snapshots.end();
    (goes ? going_ : staying_).push_back(id);
    if (!goes) newest_staying_ = std::max(newest_staying_, std::optional(std::pair(nanos_of(**status), id)));
    if (goes) going_bytes_ += static_cast<std::uint64_t>((*status)->st_size);
  }
  nothing_stays_ = staying_.empty() && !job_.snapshots.empty();
  return {};
}

Outcome<void> Sweep::mark() {
  auto damaged = directory_.damaged();
  if (!damaged) return failed(damaged.error());
  damaged_ = std::move(*damaged);
  const std::vector<PackSeen>& packs = repository_.packs();
  live_.resize(packs.empty() ? 0 : packs.back().first + packs.back().count);
  for (const std::string& id : staying_) {
    if (stop_.stop_requested()) return failed(cancelled());
    if (auto marked = mark(id); !marked) return marked;
  }
  return mark_bases();
}

Outcome<void> Sweep::mark(const std::string& id) {
  const auto manifest = ManifestView::open(directory_, id);
  if (!manifest) {
    Failure failure = manifest.error();
    failure.message += "; nothing was removed";
    failure.next = "look at the disk; once this snapshot is not needed, have it removed too";
    return failed(std::move(failure));
  }
  for (std::uint32_t entry = 0; entry < manifest->size(); ++entry)
    for (const Digest& name : (*manifest)[entry].digests) {
      if (name == kZeroDigest) continue;
      if (const auto number = repository_.number_of(name))
        live_[*number] = true;
      else
        need_damaged(name);
    }
  return {};
}

/// The reading may have failed, not the disk: what is damaged is kept as long as it is needed and has no copy; a patch
/// whose base is damaged, with its base.
void Sweep::need_damaged(const Digest& name) {
  const auto keep = [&](const Digest& damaged) {
    auto at = std::lower_bound(damaged_.begin(), damaged_.end(), DamagedExtent{damaged, 0});
    for (; at != damaged_.end() && at->name == damaged; ++at) needed_damaged_.insert(at->pack);
  };
  keep(name);
  for (const BaselessPatch& patch : repository_.baseless(name)) {
    needed_damaged_.insert(patch.pack);
    keep(patch.base);
  }
}

/// A patch is nothing without its base.
Outcome<void> Sweep::mark_bases() {
  for (const PackSeen& pack : repository_.packs()) {
    if (pack.trailer && pack.trailer->patches == 0) continue;
    const auto file = open_pack(directory_, pack.id);
    if (!file) return failed(file.error());
    std::uint32_t number = pack.first;
    for (const PackedExtent& extent : extents_of(file->get(), pack))
      if (live_[number++] && is_patch(extent.codec))
        if (const auto base = repository_.number_of(extent.base)) live_[*base] = true;
  }
  return {};
}

/// Of a backup that was cut off: its next attempt needs it.
bool Sweep::unfinished(const PackSeen& pack) const {
  return !nothing_stays_ && (!newest_ || pack.written_nanos > *newest_);
}

Outcome<Judged> Sweep::judged(const PackSeen& pack) const {
  Judged one;
  one.pack = &pack;
  const auto file = open_pack(directory_, pack.id);
  if (!file) return failed(file.error());
  one.damaged_end = !has_whole_end(file->get(), pack);
  std::uint32_t number = pack.first;
  for (const PackedExtent& extent : extents_of(file->get(), pack)) {
    const bool live = live_[number++];
    (live ? one.live_bytes : one.dead_bytes) += extent.record_bytes();
    if (live) one.live.push_back(extent);
  }
  if (unfinished(pack) || needed_damaged_.contains(pack.id)) return one;
  if (one.live.empty())
    one.fate = Fate::Remove;
  else if (one.dead_bytes > one.live_bytes || one.damaged_end)
    one.fate = Fate::Rewrite;
  return one;
}

Outcome<void> Sweep::judge() {
  for (const PackSeen& pack : repository_.packs()) {
    auto one = judged(pack);
    if (!one) return failed(one.error());
    packs_.push_back(std::move(*one));
  }
  const auto small = [&](const Judged& one) {
    return one.fate != Fate::Remove && one.pack->bytes < kSmallPack && !unfinished(*one.pack) &&
           !needed_damaged_.contains(one.pack->id);
  };
  if (static_cast<std::size_t>(std::count_if(packs_.begin(), packs_.end(), small)) < kManySmallPacks) return {};
  for (Judged& one : packs_)
    if (small(one)) one.fate = Fate::Rewrite;
  return {};
}

ForgetData Sweep::estimate() const {
  ForgetData data;
  data.removed_snapshots = job_.snapshots.size();
  data.freed_bytes = going_bytes_;
  for (const Judged& one : packs_) {
    data.pack_bytes += one.pack->bytes;
    if (one.fate == Fate::Keep) continue;
    const std::uint64_t freed = one.fate == Fate::Remove ? one.pack->bytes : one.dead_bytes;
    data.freed_bytes += freed;
    data.pack_bytes -= freed;
    ++(one.fate == Fate::Remove ? data.removed_packs : data.rewritten_packs);
  }
  return data;
}

Outcome<ForgetData> Sweep::carry_out() {
  done_.removed_snapshots = job_.snapshots.size();
  done_.freed_bytes = going_bytes_;
  for (const Judged& one : packs_) done_.pack_bytes += one.pack->bytes;
  if (auto removed = remove_manifests(); !removed) return failed(removed.error());
  if (auto tidied = directory_.tidy_kept({}); !tidied) return failed(tidied.error());
  if (auto removed = remove_dead(); !removed) return failed(removed.error());
  if (auto rewritten = rewrite(); !rewritten) return failed(rewritten.error());
  if (auto tidied = tidy_damaged(); !tidied) return failed(tidied.error());
  return done_;
}

/// A run that is cut off when the newest is gone must not make the next one take packs for those of a later backup.
Outcome<void> Sweep::keep_newest_time() {
  if (!newest_staying_ || newest_staying_->first >= *newest_) return {};
  const timespec time{*newest_ / kNanos, *newest_ % kNanos};
  const std::array<timespec, 2> times = {time, time};
  if (::utimensat(directory_.snapshots(), newest_staying_->second.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
    return failed_call(errno, "set the time of {}/snapshots/{}", directory_.path(), newest_staying_->second);
  return {};
}

/// Durable before a pack goes: no snapshot may come back that lacks something.
Outcome<void> Sweep::remove_manifests() {
  if (auto kept = keep_newest_time(); !kept) return kept;
  for (const std::string& id : going_)
    if (::unlinkat(directory_.snapshots(), id.c_str(), 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}/snapshots/{}", directory_.path(), id);
  return sync_directory(directory_.snapshots());
}

Outcome<void> Sweep::remove(const PackSeen& pack) {
  if (::unlinkat(directory_.packs(), name_of(pack.id).c_str(), 0) != 0 && errno != ENOENT)
    return failed_call(errno, "remove {}/packs/{}", directory_.path(), name_of(pack.id));
  removed_.insert(pack.id);
  done_.freed_bytes += pack.bytes;
  done_.pack_bytes -= pack.bytes;
  return {};
}

Outcome<void> Sweep::remove_dead() {
  if (nothing_stays_)
    if (auto removed = remove_leftovers(); !removed) return removed;
  for (const Judged& one : packs_) {
    if (one.fate != Fate::Remove) continue;
    if (stop_.stop_requested()) return failed(cancelled());
    if (auto removed = remove(*one.pack); !removed) return removed;
    ++done_.removed_packs;
  }
  return sync_directory(directory_.packs());
}

Outcome<void> Sweep::remove_leftovers() {
  const auto parts = directory_.part_ids();
  if (!parts) return failed(parts.error());
  for (const PackId id : *parts)
    if (::unlinkat(directory_.packs(), (name_of(id) + kPartSuffix).c_str(), 0) != 0)
      return failed_call(errno, "remove {}/packs/{}{}", directory_.path(), name_of(id), kPartSuffix);
  return {};
}

Outcome<void> Sweep::rewrite() {
  for (const Judged& one : packs_) {
    if (one.fate != Fate::Rewrite) continue;
    if (stop_.stop_requested()) break;
    const auto whole = copy(one);
    if (!whole) {
      if (fresh_) ::unlinkat(directory_.packs(), (name_of(fresh_->id) + kPartSuffix).c_str(), 0);
      return failed(whole.error());
    }
    if (*whole) copied_.push_back(&one);
    if (fresh_ && fresh_->is_full())
      if (auto closed = close_pack(); !closed) return closed;
  }
  if (auto closed = close_pack(); !closed) return closed;
  if (stop_.stop_requested()) return failed(cancelled());
  return {};
}

/// Appends what is live of a pack to the fresh one; false where some of it is damaged, and the pack has to stay.
Outcome<bool> Sweep::copy(const Judged& judged) {
  const auto file = open_pack(directory_, judged.pack->id);
  if (!file) return failed(file.error());
  RecordChecker checker;
  bool whole = true;
  for (PackedExtent extent : judged.live) {
    const auto stored = checker.read(file->get(), extent);
    if (!stored) return failed(stored.error());
    if (!*stored) {
      whole = false;
      damaged_.push_back({extent.name, judged.pack->id});
      found_damaged_ = true;
      continue;
    }
    if (!fresh_) {
      auto made = make_pack(directory_);
      if (!made) return failed(made.error());
      fresh_ = std::move(*made);
    }
    extent.offset = 0;
    std::array<std::byte, kRecordHeader> header{};
    put_record_header(header, extent);
    const std::array<std::span<const std::byte>, 2> parts = {header, **stored};
    if (auto appended = append(directory_, *fresh_, std::span(&extent, 1), parts); !appended)
      return failed(appended.error());
  }
  if (fresh_) fresh_->written_nanos = std::max(fresh_->written_nanos.value_or(0), judged.pack->written_nanos);
  return whole;
}

/// The new pack is durable before the old ones go.
Outcome<void> Sweep::close_pack() {
  if (fresh_) {
    const auto bytes = seal(directory_, *fresh_);
    if (!bytes) return failed(bytes.error());
    fresh_.reset();
    if (auto synced = sync_directory(directory_.packs()); !synced) return synced;
    done_.pack_bytes += *bytes;
    done_.freed_bytes -= std::min(done_.freed_bytes, *bytes);
  }
  for (const Judged* one : copied_) {
    if (auto removed = remove(*one->pack); !removed) return removed;
    ++done_.rewritten_packs;
  }
  copied_.clear();
  return sync_directory(directory_.packs());
}

Outcome<void> Sweep::tidy_damaged() {
  const auto gone = std::erase_if(damaged_, [&](const DamagedExtent& one) { return removed_.contains(one.pack); });
  if (gone == 0 && !found_damaged_) return {};
  return directory_.write_damaged(damaged_);
}

}  // namespace

Outcome<ForgetData> forget(const Forget& job, const std::stop_token& stop) {
  const auto repository = Repository::open(job.path, job.dry_run ? Use::Read : Use::Sweep);
  if (!repository) return failed(repository.error());
  Sweep sweep(job, *repository, stop);
  if (auto allowed = sweep.refuse_kept(); !allowed) return failed(allowed.error());
  if (auto sorted = sweep.sort_snapshots(); !sorted) return failed(sorted.error());
  if (auto marked = sweep.mark(); !marked) return failed(marked.error());
  if (auto judged = sweep.judge(); !judged) return failed(judged.error());
  if (job.dry_run) return sweep.estimate();
  return sweep.carry_out();
}

}  // namespace roadstead::mover
