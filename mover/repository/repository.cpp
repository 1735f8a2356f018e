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

Outcome<void> Repository::load_pack(const PackSeen& pack, const std::vector<DamagedExtent>& damaged) {
  const auto file = open_pack(directory(), pack.id);
  if (!file) return failed(file.error());
  std::uint32_t number = pack.first;
  for (const PackedExtent& extent : extents_of(file->get(), pack)) {
    const bool good =
        damaged.empty() || !std::binary_search(damaged.begin(), damaged.end(), DamagedExtent{extent.name, pack.id});
    if (good) state_->index->add(extent.name, number);
    ++number;
  }
  return {};
}

Outcome<void> Repository::reload() {
  state_->packs.clear();
  state_->index.emplace();
  const auto ids = directory().pack_ids();
  if (!ids) return failed(ids.error());
  const auto damaged = directory().damaged();
  if (!damaged) return failed(damaged.error());
  if (auto looked = look_at_packs(*ids); !looked) return looked;
  return in_parallel(packs().size(), [&](std::size_t i) { return load_pack(packs()[i], *damaged); });
}

Outcome<std::vector<Digest>> Repository::lost() const {
  const auto damaged = directory().damaged();
  if (!damaged) return failed(damaged.error());
  std::set<PackId> there;
  for (const PackSeen& pack : packs()) there.insert(pack.id);
  std::vector<Digest> names;  // in order, as they are in the list
  for (const DamagedExtent& one : *damaged)
    if (there.contains(one.pack) && !has(one.name) && (names.empty() || names.back() != one.name))
      names.push_back(one.name);
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
  std::vector<PackedExtent> extents = extents_of(file->get(), pack);
  return &open_.try_emplace(pack.id, Open{std::move(*file), std::move(extents), reads_}).first->second;
}

Outcome<const PackedExtent*> ExtentReader::seek(const Digest& name) {
  const auto number = repository_.number_of(name);
  if (!number) return failed(damaged_extent(repository_.directory(), name, "no pack has it"));
  const PackSeen& pack = repository_.pack_of(*number);
  const auto opened = open(pack);
  if (!opened) return failed(opened.error());
  const std::vector<PackedExtent>& extents = (*opened)->extents;
  const std::uint32_t index = *number - pack.first;
  file_ = (*opened)->file.get();
  const auto wrong = [&](std::string_view why) {
    return failed(damaged_extent(repository_.directory(), name, fmt::format("pack {} {}", name_of(pack.id), why)));
  };
  if (index >= extents.size() || extents[index].name != name) return wrong("does not list it");
  const auto right = read_record(file_, extents[index], record_);
  if (!right) return failed(right.error());
  if (!*right) return wrong("has other bytes in its place");
  return &extents[index];
}

Outcome<StoredExtent> ExtentReader::stored(const Digest& name) {
  const auto extent = seek(name);
  if (!extent) return failed(extent.error());
  return StoredExtent{(*extent)->codec, (*extent)->length, std::span<const std::byte>(record_).subspan(kRecordHeader)};
}

Outcome<std::span<const std::byte>> ExtentReader::plain(const Digest& name) {
  const auto extent = seek(name);
  if (!extent) return failed(extent.error());
  if (const auto bytes = checker_.plain(**extent, std::span<const std::byte>(record_).subspan(kRecordHeader)))
    return *bytes;
  const PackSeen& pack = repository_.pack_of(*repository_.number_of(name));
  return failed(damaged_extent(repository_.directory(), name,
                               fmt::format("its bytes in pack {} are not what they were", name_of(pack.id))));
}

Outcome<void> PackWriter::add(const Digest& name, std::uint8_t codec, std::uint32_t length,
                              std::span<const std::byte> stored) {
  if (name == kZeroDigest || !state_.index->add(name, ExtentIndex::kUnplaced)) return {};
  const PackedExtent extent{name, static_cast<std::uint32_t>(buffer_.size()), length,
                            static_cast<std::uint32_t>(stored.size()), codec};
  extents_.push_back(extent);
  buffer_.resize(buffer_.size() + kRecordHeader);
  put_record_header(std::span(buffer_).last<kRecordHeader>(), extent);
  if (buffer_.size() + stored.size() >= kGathered) return write_out(stored);
  buffer_.insert(buffer_.end(), stored.begin(), stored.end());
  return {};
}

Outcome<void> PackWriter::write_out(std::span<const std::byte> last) {
  const std::array<std::span<const std::byte>, 2> parts = {buffer_, last};
  auto written = state_.pool.append(extents_, parts);
  buffer_.clear();
  extents_.clear();
  return written;
}

Outcome<void> PackWriter::finish() {
  if (extents_.empty()) return {};
  return write_out({});
}

}  // namespace roadstead::mover
