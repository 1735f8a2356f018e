#include "mover/repository/repository.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

namespace roadstead::mover {
namespace {

/// Small extents are written together. Less than an extent: no more than that is lost with the process.
constexpr std::size_t kGathered = std::size_t{256} << 10;
constexpr std::size_t kOpenPacks = 16;  // of one reader
constexpr std::size_t kLoaders = 4;

/// Calls work(i) for every i below `count` from a few threads, until one fails.
template <class Work>
Outcome<void> in_parallel(std::size_t count, Work work) {
  std::atomic<std::size_t> next{0};
  const std::size_t threads =
      std::min<std::size_t>({count, kLoaders, std::max(1U, std::thread::hardware_concurrency())});
  std::vector<Outcome<void>> ends(threads);
  const auto run = [&](Outcome<void>& end) {
    for (std::size_t i = next++; i < count && end; i = next++) end = work(i);
    if (!end) next = count;
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(run, std::ref(ends[i]));
    if (threads > 0) run(ends[0]);
  }
  for (const Outcome<void>& end : ends)
    if (!end) return end;
  return {};
}

Failure damaged_extent(const RepositoryDirectory& directory, const Digest& name, std::string_view where) {
  return {"DamagedExtent", fmt::format("extent {} of {} cannot be had: {}", short_name(name), directory.path(), where),
          "run roadstead verify on the repository: it names the files concerned, and the next backup brings them again "
          "if the source still has them; until then restore an older snapshot"};
}

}  // namespace

Outcome<Repository> Repository::open(const std::string& path, Use use) {
  auto directory = RepositoryDirectory::open(path, use);
  if (!directory) return failed(directory.error());
  if (use == Use::Write) {
    if (::unlinkat(directory->snapshots(), kManifestPart, 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}/snapshots/{}", path, kManifestPart);
    if (auto kept = keep_unfinished(*directory); !kept) return failed(kept.error());
  }
  Repository repository(std::make_unique<State>(std::move(*directory)));
  if (auto loaded = repository.reload(); !loaded) return failed(loaded.error());
  return repository;
}

Outcome<void> Repository::look_at_packs(const std::vector<PackId>& ids) {
  std::vector<PackSeen>& packs = state_->packs;
  packs.resize(ids.size());
  auto looked = in_parallel(ids.size(), [&](std::size_t i) -> Outcome<void> {
    auto seen = look_at_pack(directory(), ids[i]);
    if (!seen) return failed(seen.error());
    packs[i] = *seen;
    return {};
  });
  if (!looked) return looked;
  std::sort(packs.begin(), packs.end(), [](const PackSeen& a, const PackSeen& b) {
    return std::pair(a.written_nanos, a.id) < std::pair(b.written_nanos, b.id);
  });
  std::uint64_t all = 0;
  for (PackSeen& pack : packs) {
    pack.first = static_cast<std::uint32_t>(all);
    all += pack.count;
    if (all > ExtentIndex::kMaxPlace)
      return failed("TooLarge",
                    fmt::format("the repository {} has more extents than this mover can count", directory().path()),
                    "let retention remove snapshots");
  }
  state_->index->reserve(all);
  return {};
}

Outcome<void> Repository::load_pack(const PackSeen& pack, Loading& loading) {
  if (loading.patches && pack.trailer && pack.trailer->patches == 0) return {};
  const auto file = open_pack(directory(), pack.id);
  if (!file) return failed(file.error());
  std::uint32_t number = pack.first;
  std::vector<BaselessPatch> baseless;
  for (const PackedExtent& extent : extents_of(file->get(), pack)) {
    const std::uint32_t own = number++;
    if (is_patch(extent.codec) != loading.patches ||
        std::binary_search(loading.damaged.begin(), loading.damaged.end(), DamagedExtent{extent.name, pack.id}))
      continue;
    const auto base = loading.patches ? state_->index->find(extent.base) : std::nullopt;
    if (loading.patches && (!base || !loading.whole[*base])) {
      baseless.push_back({extent.name, extent.base, pack.id});
      continue;
    }
    state_->index->add(extent.name, own);
    if (!loading.patches) loading.whole[own] = 1;
  }
  const std::lock_guard lock(loading.mutex);
  state_->baseless.insert(state_->baseless.end(), baseless.begin(), baseless.end());
  return {};
}

/// What is whole comes first, so that every patch finds its base.
Outcome<void> Repository::load(std::vector<DamagedExtent> damaged) {
  const std::size_t all = packs().empty() ? 0 : packs().back().first + packs().back().count;
  Loading loading{.damaged = std::move(damaged), .whole = std::vector<std::uint8_t>(all)};
  for (const bool patches : {false, true}) {
    loading.patches = patches;
    auto loaded = in_parallel(packs().size(), [&](std::size_t i) { return load_pack(packs()[i], loading); });
    if (!loaded) return loaded;
  }
  std::sort(state_->baseless.begin(), state_->baseless.end(),
            [](const BaselessPatch& a, const BaselessPatch& b) { return a.name < b.name; });
  return {};
}

std::span<const BaselessPatch> Repository::baseless(const Digest& name) const {
  const auto [first, last] =
      std::equal_range(state_->baseless.begin(), state_->baseless.end(), BaselessPatch{name, {}, 0},
                       [](const BaselessPatch& a, const BaselessPatch& b) { return a.name < b.name; });
  return {first, last};
}

Outcome<void> Repository::reload() {
  state_->packs.clear();
  state_->index.emplace();
  state_->baseless.clear();
  const auto ids = directory().pack_ids();
  if (!ids) return failed(ids.error());
  auto damaged = directory().damaged();
  if (!damaged) return failed(damaged.error());
  if (auto looked = look_at_packs(*ids); !looked) return looked;
  return load(std::move(*damaged));
}

Outcome<std::vector<Digest>> Repository::lost() const {
  const auto damaged = directory().damaged();
  if (!damaged) return failed(damaged.error());
  std::set<PackId> there;
  for (const PackSeen& pack : packs()) there.insert(pack.id);
  std::vector<Digest> names;
  for (const DamagedExtent& one : *damaged)
    if (there.contains(one.pack) && !has(one.name)) names.push_back(one.name);
  // The base of what a cut off backup brought may have been swept: that is no damage.
  const std::set<Digest> lost_bases(names.begin(), names.end());
  for (const BaselessPatch& one : state_->baseless)
    if (lost_bases.contains(one.base) && !has(one.name)) names.push_back(one.name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool Repository::has(const Digest& name) const { return name == kZeroDigest || state_->index->find(name); }

std::vector<std::uint64_t> Repository::prefixes(std::size_t most) const {
  std::vector<std::uint64_t> found;
  for (auto pack = packs().rbegin(); pack != packs().rend() && found.size() < most; ++pack) {
    const auto file = open_pack(directory(), pack->id);
    if (!file) continue;
    for (const PackedExtent& extent : extents_of(file->get(), *pack))
      if (found.size() < most && has(extent.name)) found.push_back(prefix_of(extent.name));
  }
  return found;
}

std::optional<std::uint32_t> Repository::number_of(const Digest& name) const {
  const auto number = state_->index->find(name);
  if (!number || *number == ExtentIndex::kUnplaced) return std::nullopt;
  return number;
}

const PackSeen& Repository::pack_of(std::uint32_t number) const {
  const auto after = std::upper_bound(packs().begin(), packs().end(), number,
                                      [](std::uint32_t value, const PackSeen& pack) { return value < pack.first; });
  return *std::prev(after);
}

Outcome<ExtentReader::Open*> ExtentReader::open(const PackSeen& pack) {
  ++reads_;
  if (const auto found = open_.find(pack.id); found != open_.end()) {
    found->second.used = reads_;
    return &found->second;
  }
  auto file = open_pack(repository_.directory(), pack.id);
  if (!file) return failed(file.error());
  if (open_.size() >= kOpenPacks)
    open_.erase(std::min_element(open_.begin(), open_.end(),
                                 [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  std::vector<PackedExtent> extents;
  if (!pack.trailer) extents = extents_of(file->get(), pack);
  return &open_.try_emplace(pack.id, Open{std::move(*file), std::move(extents), reads_}).first->second;
}

Failure ExtentReader::wrong(const Digest& name, std::string_view why) const {
  const auto number = repository_.number_of(name);
  return damaged_extent(repository_.directory(), name,
                        number ? fmt::format("pack {} {}", name_of(repository_.pack_of(*number).id), why)
                               : std::string("no pack has it"));
}

Outcome<ExtentReader::Found> ExtentReader::seek(const Digest& name) {
  const auto number = repository_.number_of(name);
  if (!number) return failed(wrong(name, ""));
  const PackSeen& pack = repository_.pack_of(*number);
  const auto opened = open(pack);
  if (!opened) return failed(opened.error());
  const std::vector<PackedExtent>& extents = (*opened)->extents;
  const std::uint32_t place = *number - pack.first;
  const int file = (*opened)->file.get();
  const auto extent = place < extents.size() ? std::optional(extents[place]) : listed_extent(file, pack, place);
  if (!extent || extent->name != name) return failed(wrong(name, "does not list it"));
  return Found{*extent, file};
}

Outcome<void> ExtentReader::read_record(const Found& found, std::span<std::byte> stored) {
  const auto right = read_stored(found.file, found.extent, stored);
  if (!right) return failed(right.error());
  if (!*right) return failed(wrong(found.extent.name, "has other bytes in its place"));
  return {};
}

/// Of what is no patch.
Outcome<void> ExtentReader::read_whole(const Found& found, std::span<std::byte> out) {
  if (found.extent.codec == kPlain) return read_record(found, out);
  stored_.resize(found.extent.stored);
  if (auto read = read_record(found, stored_); !read) return read;
  const auto plain = unpacker_.unpack(found.extent.codec, stored_, found.extent.length);
  if (!plain) return failed(wrong(found.extent.name, "has other bytes than were written"));
  std::copy(plain->begin(), plain->end(), out.begin());
  return {};
}

Outcome<void> ExtentReader::read_patched(const Found& found, std::span<std::byte> out) {
  const PackedExtent& extent = found.extent;
  patch_.resize(extent.stored);
  if (auto read = read_record(found, patch_); !read) return read;
  const auto base = seek_base(extent);
  if (!base) return failed(base.error());
  if (auto read = read_whole(*base, out); !read) return read;
  const auto patch = view_patch(patch_);
  const auto bytes = patch ? unpack_patch(extent.codec, *patch, extent.length, patch_unpacker_) : std::nullopt;
  if (!bytes) return failed(wrong(extent.name, "has a patch that does not fit"));
  put_pieces(patch->pieces, *bytes, out);
  return {};
}

Outcome<ExtentReader::Found> ExtentReader::seek_base(const PackedExtent& extent) {
  auto base = seek(extent.base);
  if (base && (is_patch(base->extent.codec) || base->extent.length != extent.length))
    return failed(wrong(extent.name, "has a patch of what cannot be its base"));
  return base;
}

Outcome<bool> ExtentReader::pieces(const Digest& name, std::vector<Digest>& hashes) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  const PackedExtent& extent = found->extent;
  if (!is_patch(extent.codec)) return read_hashes(found->file, extent, hashes);
  patch_.resize(std::min<std::size_t>(extent.stored, kMaxPatchHead));
  if (auto read = read_record(*found, patch_); !read) return failed(read.error());
  const auto patch = view_patch(patch_);
  if (!patch) return false;
  const auto base = seek_base(extent);
  if (!base) return failed(base.error());
  const auto read = read_hashes(base->file, base->extent, hashes);
  if (!read || !*read) return read;
  const std::byte* own = patch->hashes.data();
  for (std::size_t piece = 0; piece < hashes.size(); ++piece) {
    if (!contains(patch->pieces, piece)) continue;
    if (own == patch->hashes.data() + patch->hashes.size()) return false;
    std::copy_n(own, sizeof(Digest), hashes[piece].begin());
    own += sizeof(Digest);
  }
  return true;
}

Outcome<void> ExtentReader::read(const Digest& name, const std::vector<Range>& ranges, Bytes& out) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  const bool direct = found->extent.codec == kPlain;
  const auto all = direct ? Outcome<std::span<const std::byte>>() : plain(name);
  if (!all) return failed(all.error());
  out.clear();
  for (const Range& range : ranges) {
    const std::size_t at = out.size();
    out.resize(at + range.length);
    const auto to = std::span(out).subspan(at);
    if (range.offset + range.length > found->extent.length) return failed(wrong(name, "has it with another length"));
    if (!direct)
      std::copy_n(all->begin() + static_cast<std::ptrdiff_t>(range.offset), to.size(), to.begin());
    else if (read_at(found->file, to, found->extent.offset + kRecordHeader + range.offset) !=
             static_cast<ssize_t>(to.size()))
      return failed(wrong(name, "cannot be read"));
  }
  return {};
}

Outcome<void> ExtentReader::read(const Digest& name, std::span<std::byte> out) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  if (found->extent.length != out.size()) return failed(wrong(name, "has it with another length"));
  return is_patch(found->extent.codec) ? read_patched(*found, out) : read_whole(*found, out);
}

Outcome<StoredExtent> ExtentReader::stored(const Digest& name) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  const std::uint32_t length = found->extent.length;
  if (is_patch(found->extent.codec)) {
    plain_.resize(length);
    if (auto read = read_patched(*found, plain_); !read) return failed(read.error());
    return StoredExtent{kPlain, length, plain_};
  }
  stored_.resize(found->extent.stored);
  if (auto read = read_record(*found, stored_); !read) return failed(read.error());
  return StoredExtent{found->extent.codec, length, stored_};
}

Outcome<std::span<const std::byte>> ExtentReader::plain(const Digest& name) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  plain_.resize(found->extent.length);
  if (auto got = read(name, plain_); !got) return failed(got.error());
  if (hasher_.of(plain_) != name) return failed(wrong(name, "has other bytes than were written"));
  return plain_;
}

Outcome<PatchBase> ExtentReader::patch_base(const Digest& name) {
  const auto found = seek(name);
  if (!found) return failed(found.error());
  if (!is_patch(found->extent.codec)) return PatchBase{name, {}, {}};
  patch_.resize(found->extent.stored);
  if (auto got = read_record(*found, patch_); !got) return failed(got.error());
  // What is wrong here would go on in every patch to come.
  const auto patch = is_whole_patch(patch_, hasher_) ? view_patch(patch_) : std::nullopt;
  const auto bytes =
      patch ? unpack_patch(found->extent.codec, *patch, found->extent.length, patch_unpacker_) : std::nullopt;
  if (!bytes) return failed(wrong(name, "has another patch than was written"));
  return PatchBase{patch->base, patch->pieces, *bytes};
}

Outcome<void> PackWriter::add(const Digest& name, std::uint8_t codec, std::uint32_t length,
                              std::span<const std::byte> stored, std::span<const Digest> pieces) {
  const PackedExtent extent{.name = name, .length = length, .codec = codec};
  const auto hashes = std::as_bytes(pieces).first(std::min(pieces.size_bytes(), extent.hash_bytes()));
  if (hashes.size() != extent.hash_bytes())
    return failed("Refused", fmt::format("extent {} comes without the hashes of its pieces", short_name(name)),
                  "this is a fault of the program");
  return add(extent, stored, hashes);
}

Outcome<void> PackWriter::add_patch(const Digest& name, std::uint32_t length, const Patch& patch) {
  return add({.name = name, .length = length, .codec = patch.codec, .base = patch.base}, patch.stored, {});
}

Outcome<void> PackWriter::add(PackedExtent extent, std::span<const std::byte> stored,
                              std::span<const std::byte> hashes) {
  if (extent.name == kZeroDigest || !state_.index->add(extent.name, ExtentIndex::kUnplaced)) return {};
  extent.offset = static_cast<std::uint32_t>(buffer_.size());
  extent.stored = static_cast<std::uint32_t>(stored.size());
  extents_.push_back(extent);
  buffer_.resize(buffer_.size() + kRecordHeader);
  put_record_header(std::span(buffer_).last<kRecordHeader>(), extent);
  if (buffer_.size() + stored.size() + hashes.size() >= kGathered) return write_out(stored, hashes);
  buffer_.insert(buffer_.end(), stored.begin(), stored.end());
  buffer_.insert(buffer_.end(), hashes.begin(), hashes.end());
  return {};
}

Outcome<void> PackWriter::write_out(std::span<const std::byte> last, std::span<const std::byte> hashes) {
  const std::array<std::span<const std::byte>, 3> parts = {buffer_, last, hashes};
  auto written = state_.pool.append(extents_, parts);
  buffer_.clear();
  extents_.clear();
  return written;
}

Outcome<void> PackWriter::finish() {
  if (extents_.empty()) return {};
  return write_out({}, {});
}

}  // namespace roadstead::mover
