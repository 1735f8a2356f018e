#include "mover/repository_sink.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "mover/repository/manifest.h"
#include "mover/repository/repository.h"
#include "mover/ticking.h"

namespace roadstead::mover {
namespace {

Time now() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

/// The names of all extents, which are put by several threads, each once. Memory is taken where names come, not where
/// sizes were announced.
class DigestTable {
 public:
  /// Room for so many, where there was less. Not while another thread puts.
  void grow(std::uint32_t extents) {
    const std::size_t blocks = (std::size_t{extents} + kBlock - 1) / kBlock;
    while (blocks_.size() < blocks) blocks_.emplace_back();
  }

  void put(std::uint32_t extent, const Digest& digest) { block(extent / kBlock)[extent % kBlock] = digest; }

  /// `count` names from one on; into `out` where they lie in more than one block.
  std::span<const Digest> get(std::uint32_t first, std::uint32_t count, std::vector<Digest>& out) {
    if (count == 0) return {};
    if (first / kBlock == (first + count - 1) / kBlock) return {block(first / kBlock) + first % kBlock, count};
    out.resize(count);
    for (std::uint32_t i = 0; i < count; ++i) out[i] = block((first + i) / kBlock)[(first + i) % kBlock];
    return out;
  }

 private:
  static constexpr std::uint32_t kBlock = 4096;
  struct Block {
    std::once_flag made;
    std::unique_ptr<Digest[]> digests;
  };

  Digest* block(std::uint32_t number) {
    Block& one = blocks_[number];
    std::call_once(one.made, [&] { one.digests = std::make_unique<Digest[]>(kBlock); });
    return one.digests.get();
  }

  std::deque<Block> blocks_;  ///< They do not move.
};

/// What a file's extents are compared with.
struct RepositoryState final : FileState {
  std::span<const Digest> base;  ///< Of the newest snapshot, if extent for extent the same place; else empty.
  std::uint64_t base_size = 0;
};

/// What the threads share.
struct Shared {
  Repository repository;
  std::optional<ManifestView> base;
  const EntryList* entries = nullptr;
  std::vector<std::uint32_t>
      base_directory;  ///< By entry, for directories: the base's of the same path, plus 1; 0: none.
  DigestTable digests;
};

class RepositoryThread final : public SinkThread {
 public:
  explicit RepositoryThread(Shared& shared)
      : shared_(shared), entries_(*shared.entries), reader_(shared.repository), writer_(shared.repository) {}

  Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) override {
    auto state = std::make_unique<RepositoryState>();
    const auto base = base_of(file);
    if (!base) return state;
    const Node& entry = entries_[file];
    const bool cut_alike =
        base->sparse == entry.sparse && (!entry.sparse || ranges_in(*base) == entries_.ranges_of(file));
    if (!cut_alike) return state;
    if (is_unchanged(entry, *base) && all_there(base->digests)) {
      for (std::uint32_t i = 0; i < base->digests.size(); ++i) put_digest(file, i, base->digests[i]);
      return nullptr;
    }
    state->base = base->digests;
    state->base_size = base->size;
    return state;
  }

  Outcome<std::optional<Digest>> look(const Spot& spot, FileState& state, Seen&) override {
    const auto& file = static_cast<RepositoryState&>(state);
    if (spot.index >= file.base.size()) return std::nullopt;
    // A file that has become longer or shorter: its last extent, or the base's, has another length.
    const bool same_length =
        entries_[spot.file].sparse || std::min<std::uint64_t>(kExtent, file.base_size - spot.offset) == spot.length;
    if (!same_length || !shared_.repository.has(file.base[spot.index])) return std::nullopt;
    return file.base[spot.index];
  }

  Outcome<void> same(const Spot& spot, FileState&, const Digest& hash, std::span<const std::byte>) override {
    put_digest(spot.file, spot.index, hash);
    return {};
  }

  Outcome<bool> pieces_of(const Digest& hash, std::vector<Digest>& pieces) override {
    if (hash == kZeroDigest) return false;
    const auto known = reader_.pieces(hash, pieces);
    return known && *known;  // what cannot be read is brought whole
  }

  /// Where little has changed, the repository grows by that, and nothing of it is read but an earlier patch.
  Outcome<bool> patch(const Spot& spot, FileState&, const Patched& patched) override {
    if (patched.old == kZeroDigest) return false;
    const auto old = reader_.patch_base(patched.old);
    const auto patch = old ? patches_.make(*old, spot.length, patched) : std::nullopt;
    if (!patch) return false;
    put_digest(spot.file, spot.index, patched.hash);
    if (auto added = writer_.add_patch(patched.hash, spot.length, *patch); !added) return failed(added.error());
    return true;
  }

  Outcome<bool> read_old(const Spot& spot, FileState&, const Digest& hash, std::span<std::byte> out) override {
    if (hash == kZeroDigest) {
      std::fill(out.begin(), out.end(), std::byte{0});
      return true;
    }
    // Not compared with its name: the patched extent is, and if it is wrong the whole one brings what is damaged here.
    return reader_.read(hash, out.first(spot.length)).has_value();
  }

  Outcome<void> put(const Spot& spot, FileState&, const Extent& extent) override {
    put_digest(spot.file, spot.index, extent.hash);
    if (extent.hash == kZeroDigest) return {};
    auto pieces = extent.pieces;
    const PackedExtent packed{.length = spot.length, .codec = extent.codec};
    if (pieces.size_bytes() < packed.hash_bytes()) {  // from a source in this process
      static_cast<void>(hasher_.of(extent.plain));
      pieces = hasher_.pieces();
    }
    return writer_.add(extent.hash, extent.codec, spot.length, extent.stored, pieces);
  }

  Outcome<bool> have(const Spot& spot, FileState&, const Digest& hash) override {
    if (!shared_.repository.has(hash)) return false;
    put_digest(spot.file, spot.index, hash);
    return true;
  }

  Outcome<void> complete(std::uint32_t, FileState&) override { return {}; }

  Outcome<void> end() override { return writer_.finish(); }

 private:
  std::optional<ManifestEntry> base_of(std::uint32_t file) {
    if (!shared_.base) return std::nullopt;
    const Node& entry = entries_[file];
    const std::uint32_t directory = shared_.base_directory[entry.parent];
    if (directory == 0) return std::nullopt;
    const std::uint32_t id = shared_.base->find(directory - 1, entry.name(), guess_);
    if (id == 0) return std::nullopt;
    guess_ = id + 1;
    const ManifestEntry base = (*shared_.base)[id];
    return base.type == EntryType::File ? std::optional(base) : std::nullopt;
  }

  static bool is_unchanged(const Node& entry, const ManifestEntry& base) {
    return entry.size == base.size && entry.stamp == base.stamp && (base.stamp & kUnsettled) == 0 &&
           entry.mtime_seconds == base.mtime_seconds && entry.mtime_nanos == base.mtime_nanos;
  }

  static std::vector<Range> ranges_in(const ManifestEntry& base) {
    std::span<const std::byte> encoded = base.encoded;
    auto entry = take_entry(encoded);
    return entry ? std::move(entry->ranges) : std::vector<Range>{};
  }

  [[nodiscard]] bool all_there(std::span<const Digest> digests) const {
    return std::all_of(digests.begin(), digests.end(),
                       [&](const Digest& digest) { return shared_.repository.has(digest); });
  }

  void put_digest(std::uint32_t file, std::uint32_t index, const Digest& digest) {
    shared_.digests.put(entries_[file].first_extent + index, digest);
  }

  Shared& shared_;
  const EntryList& entries_;
  ExtentReader reader_;
  PackWriter writer_;
  PatchMaker patches_;
  PieceHasher hasher_;
  std::uint32_t guess_ = 0;  ///< Where in the base the next file is, if nothing has changed.
};

class RepositorySink final : public Sink {
 public:
  RepositorySink(Snapshot job, Repository repository, std::optional<SnapshotSeen> there,
                 std::optional<SnapshotSeen> previous)
      : job_(std::move(job)),
        shared_{.repository = std::move(repository)},
        there_(std::move(there)),
        previous_(std::move(previous)) {
    header_.id = job_.id;
    header_.origin = job_.origin;
    header_.data_as_of = now();
  }

  bool already_there() override { return there_.has_value(); }

  Outcome<void> prepare(const EntryList& entries, const EntriesEnd& announced, const Tick& tick) override {
    shared_.entries = &entries;
    shared_.digests.grow(entries.extents());
    if (auto taken = take_header(announced); !taken) return taken;
    if (!previous_) {
      // No more than a listed entry is worth: sizes are only what the peer says.
      shared_.repository.expect(std::min<std::size_t>(entries.extents(), entries.size()));
      return {};
    }
    auto base = while_ticking(tick, [&] { return ManifestView::open(shared_.repository.directory(), previous_->id); });
    if (!base) return {};  // what it has is in the packs all the same, and is known by name
    shared_.base.emplace(std::move(*base));
    return find_base_directories(tick);
  }

  std::vector<std::uint64_t> known(std::size_t most) const override { return shared_.repository.prefixes(most); }
  [[nodiscard]] bool wants_names() const override { return true; }
  std::unique_ptr<SinkThread> thread() override { return std::make_unique<RepositoryThread>(shared_); }

  Outcome<void> restate(std::uint32_t) override {
    shared_.digests.grow(shared_.entries->extents());
    return {};
  }

  Outcome<void> leave_out(std::uint32_t file) override {
    left_out_.resize(shared_.entries->size(), false);
    left_out_[file] = true;
    return {};
  }

  Outcome<void> finish(const Changes& changes, const CopyData& so_far, const Tick& tick) override {
    if (auto go_on = tick(); !go_on) return go_on;
    if (!of_snapshot_) {
      header_.changed = changes.changed;
      header_.unreadable = changes.unreadable;
      header_.crash_consistent = changes.changed.count > 0;
    }
    header_.sent_bytes = so_far.bytes_sent;
    header_.finished_at = now();
    header_.millis = static_cast<std::uint64_t>(std::max<Millis>(now() - began_, Millis{0}).count());
    std::vector<Digest> scratch;
    const auto digests_of = [&](std::uint32_t file) -> std::span<const Digest> {
      return shared_.digests.get((*shared_.entries)[file].first_extent, shared_.entries->extents_of(file), scratch);
    };
    auto made = while_ticking(
        tick, [&] { return commit(shared_.repository, header_, *shared_.entries, digests_of, left_out_); });
    if (!made) return failed(made.error());
    there_ = std::move(*made);
    return {};
  }

  void abandon() override {}  // packs that were not sealed are kept by the next writer

  void tell(CopyData& data) const override {
    data.snapshot = there_;
    data.previous = previous_;
  }

  [[nodiscard]] std::uint64_t free_bytes() const override { return shared_.repository.free_bytes(); }

 private:
  /// A snapshot that is copied stays what it was: only where it lies is new.
  Outcome<void> take_header(const EntriesEnd& announced) {
    header_.skipped = announced.skipped;
    if (announced.origin.empty()) return {};
    const auto original = parse_snapshot_seen(announced.origin);
    if (!original) return failed(protocol_error("the peer's snapshot does not say what it is"));
    const SnapshotSeen& seen = *original;
    header_.data_as_of = seen.data_as_of;
    header_.crash_consistent = seen.crash_consistent;
    header_.changed = seen.changed;
    header_.unreadable = seen.unreadable;
    header_.skipped = seen.skipped;
    of_snapshot_ = true;
    return {};
  }

  Outcome<void> find_base_directories(const Tick& tick) {
    const EntryList& entries = *shared_.entries;
    shared_.base_directory.assign(entries.size(), 0);
    shared_.base_directory[0] = 1;
    for (std::uint32_t id = 1; id < entries.size(); ++id) {
      if (entries[id].type != EntryType::Directory) continue;
      if (auto go_on = tick(); !go_on) return go_on;
      const std::uint32_t parent = shared_.base_directory[entries[id].parent];
      if (parent == 0) continue;
      const std::uint32_t found = shared_.base->find(parent - 1, entries[id].name());
      if (found != 0 && (*shared_.base)[found].type == EntryType::Directory) shared_.base_directory[id] = found + 1;
    }
    return {};
  }

  Snapshot job_;
  Shared shared_;
  std::optional<SnapshotSeen> there_;
  std::optional<SnapshotSeen> previous_;
  SnapshotSeen header_;
  bool of_snapshot_ = false;
  Time began_ = now();
  std::vector<bool> left_out_;
};

}  // namespace

Outcome<std::unique_ptr<Sink>> open_repository_sink(const Snapshot& snapshot) {
  auto repository = Repository::open(snapshot.path, Use::Write);
  if (!repository) return failed(repository.error());
  auto list = list_snapshots(repository->directory());
  if (!list) return failed(list.error());
  const auto found = std::find_if(list->snapshots.begin(), list->snapshots.end(),
                                  [&](const SnapshotSeen& one) { return one.id == snapshot.id; });
  const bool there = found != list->snapshots.end();
  // The one before it: of the others the newest, or the newest that is older.
  std::optional<SnapshotSeen> previous;
  for (const SnapshotSeen& one : list->snapshots)
    if (one.id != snapshot.id && (!there || one.data_as_of <= found->data_as_of)) previous = one;
  return std::make_unique<RepositorySink>(snapshot, std::move(*repository),
                                          there ? std::optional(*found) : std::nullopt, std::move(previous));
}

}  // namespace roadstead::mover
