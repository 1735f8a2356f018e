#include "mover/repository/pack.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

namespace roadstead::mover {
namespace {

constexpr std::uint64_t kWriteOut = std::uint64_t{4} << 20;  // bytes of a pack on their way to the disk at a time
constexpr std::size_t kClosedPacks = 2;
constexpr std::int64_t kNanos = 1'000'000'000;

std::string part_name(PackId id) { return name_of(id) + kPartSuffix; }

/// For messages: below the repository's path.
std::string place_of(PackId id, std::string_view suffix = "") { return "packs/" + name_of(id) + std::string(suffix); }

/// False where the name of a patch's base cannot be read.
bool read_base(int file, PackedExtent& extent) {
  return !is_patch(extent.codec) ||
         (extent.stored >= kPatchHead && read_at(file, extent.base, extent.offset + kRecordHeader + kPatchBase) ==
                                             static_cast<ssize_t>(extent.base.size()));
}

/// Calls `visit` for every record from the front until one is impossible or cannot be read, or `visit` says no. Returns
/// where that was.
template <class Visit>
std::uint64_t walk(int file, std::uint64_t size, Visit visit) {
  std::uint64_t at = kPackHeader;
  std::array<std::byte, kPackHeader> start{};
  if (read_at(file, start, 0) != static_cast<ssize_t>(start.size()) || !is_pack_header(start)) return 0;
  while (at + kRecordHeader <= size && at <= kMaxPackBytes) {
    std::array<std::byte, kRecordHeader> raw{};
    if (read_at(file, raw, at) != static_cast<ssize_t>(raw.size())) break;
    auto extent = read_record_header(raw, static_cast<std::uint32_t>(at));
    if (!extent || at + extent->record_bytes() > size || !read_base(file, *extent) || !visit(*extent)) break;
    at += extent->record_bytes();
  }
  return at;
}

Outcome<void> write_all(const RepositoryDirectory& directory, const OpenPack& pack,
                        std::span<const std::span<const std::byte>> parts) {
  std::vector<iovec> pieces;
  std::uint64_t bytes = 0;
  for (const auto part : parts) {
    pieces.push_back({const_cast<std::byte*>(part.data()), part.size()});
    bytes += part.size();
  }
  const ssize_t n =
      ::pwritev(pack.file.get(), pieces.data(), static_cast<int>(pieces.size()), static_cast<off_t>(pack.size));
  if (n == static_cast<ssize_t>(bytes)) return {};
  // A full disk takes a part of it and tells why only when asked for the rest.
  int error = n < 0 && errno != EINTR ? errno : 0;
  std::uint64_t done = n < 0 ? 0 : static_cast<std::uint64_t>(n), at = pack.size + done;
  for (std::size_t i = 0; i < parts.size() && error == 0; ++i) {
    const std::size_t skip = std::min<std::uint64_t>(done, parts[i].size());
    done -= skip;
    error = write_at(pack.file.get(), parts[i].subspan(skip), at);
    at += parts[i].size() - skip;
  }
  if (error != 0) return failed(directory.write_failure(error, place_of(pack.id, kPartSuffix), bytes));
  return {};
}

/// Has what was appended since last time written, and what was before it forgotten as far as it is on the disk: a
/// backup reads none of it again, and should not push what others read out of memory. Nobody waits here: whoever waits
/// for a range hears of its errors, and the sync that decides would not hear of them again.
void write_out(OpenPack& pack) {
  const int file = pack.file.get();
  const auto from = static_cast<off_t>(pack.forgotten), to = static_cast<off_t>(pack.under_way);
  ::sync_file_range(file, to, static_cast<off_t>(pack.size) - to, SYNC_FILE_RANGE_WRITE);
  if (from < to) ::posix_fadvise(file, from, to - from, POSIX_FADV_DONTNEED);
  pack.forgotten = pack.under_way;
  pack.under_way = pack.size;
}

/// The pack as far as its extents are right; what comes after is cut off.
Outcome<OpenPack> checked_part(const RepositoryDirectory& directory, PackId id) {
  OpenPack pack;
  pack.id = id;
  pack.file = Fd(::openat(directory.packs(), part_name(id).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!pack.file) return failed_call(errno, "open {}/{}", directory.path(), place_of(id, kPartSuffix));
  const auto status = status_of(pack.file.get());
  if (!status) return failed(status.error());
  RecordChecker checker;
  pack.size = walk(pack.file.get(), static_cast<std::uint64_t>(status->st_size), [&](const PackedExtent& extent) {
    const auto right = checker.read(pack.file.get(), extent);
    const bool kept = right && *right;
    if (kept) pack.extents.push_back(extent);
    return kept;
  });
  if (::ftruncate(pack.file.get(), static_cast<off_t>(pack.size)) != 0)
    return failed_call(errno, "cut {}/{}", directory.path(), place_of(id, kPartSuffix));
  return pack;
}

/// What a pack's footer lists; nothing where it is damaged.
std::optional<std::vector<PackedExtent>> listed(int file, const PackSeen& pack) {
  if (!pack.trailer) return std::nullopt;
  Bytes raw(pack.trailer->footer_bytes());
  if (read_at(file, raw, pack.trailer->footer) != static_cast<ssize_t>(raw.size())) return std::nullopt;
  return read_footer(raw, *pack.trailer);
}

}  // namespace

Outcome<Fd> open_pack(const RepositoryDirectory& directory, PackId id) {
  Fd file(::openat(directory.packs(), name_of(id).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return failed_call(errno, "open {}/{}", directory.path(), place_of(id));
  return file;
}

Outcome<PackSeen> look_at_pack(const RepositoryDirectory& directory, PackId id) {
  const auto file = open_pack(directory, id);
  if (!file) return failed(file.error());
  const auto status = status_of(file->get());
  if (!status) return failed(status.error());
  PackSeen pack;
  pack.id = id;
  pack.bytes = static_cast<std::uint64_t>(status->st_size);
  pack.written_nanos = status->st_mtim.tv_sec * kNanos + status->st_mtim.tv_nsec;
  std::array<std::byte, kPackTrailer> raw{};
  if (pack.bytes >= kPackHeader + kPackTrailer &&
      read_at(file->get(), raw, pack.bytes - kPackTrailer) == static_cast<ssize_t>(kPackTrailer))
    pack.trailer = read_trailer(raw, pack.bytes);
  if (pack.trailer)
    pack.count = pack.trailer->count;
  else
    walk(file->get(), pack.bytes, [&](const PackedExtent&) { return ++pack.count != 0; });
  return pack;
}

std::optional<PackedExtent> listed_extent(int file, const PackSeen& pack, std::uint32_t place) {
  std::array<std::byte, kFooterEntry> raw{};
  if (!pack.trailer || place >= pack.count ||
      read_at(file, raw, pack.trailer->footer + std::uint64_t{place} * kFooterEntry) !=
          static_cast<ssize_t>(raw.size()))
    return std::nullopt;
  auto extent = read_footer_entry(raw);
  if (!extent || extent->offset + extent->record_bytes() > pack.trailer->footer || !read_base(file, *extent))
    return std::nullopt;
  return extent;
}

bool has_whole_end(int file, const PackSeen& pack) { return listed(file, pack).has_value(); }

std::vector<PackedExtent> extents_of(int file, const PackSeen& pack) {
  if (auto extents = listed(file, pack)) return std::move(*extents);
  std::vector<PackedExtent> extents;
  walk(file, pack.bytes, [&](const PackedExtent& extent) {
    if (extents.size() < pack.count) extents.push_back(extent);
    return extents.size() < pack.count;
  });
  return extents;
}

Outcome<bool> read_stored(int file, const PackedExtent& extent, std::span<std::byte> stored) {
  std::array<std::byte, kRecordHeader> header{};
  std::array<iovec, 2> parts = {iovec{header.data(), header.size()}, iovec{stored.data(), stored.size()}};
  const ssize_t n = ::preadv(file, parts.data(), static_cast<int>(parts.size()), extent.offset);
  if (n < 0 && errno != EIO) return failed_call(errno, "read a pack");
  if (n != static_cast<ssize_t>(header.size() + stored.size())) return false;
  std::array<std::byte, kRecordHeader> right{};
  put_record_header(right, extent);
  return header == right;
}

Outcome<bool> read_hashes(int file, const PackedExtent& extent, std::vector<Digest>& hashes) {
  hashes.resize(extent.hash_bytes() / sizeof(Digest));
  const auto bytes = std::as_writable_bytes(std::span(hashes));
  const ssize_t n = read_at(file, bytes, extent.offset + kRecordHeader + extent.stored);
  if (n < 0 && errno != EIO) return failed_call(errno, "read a pack");
  return !hashes.empty() && n == static_cast<ssize_t>(bytes.size());
}

Outcome<std::optional<std::span<const std::byte>>> RecordChecker::read(int file, const PackedExtent& extent) {
  stored_.resize(extent.stored + extent.hash_bytes());
  const auto there = read_stored(file, extent, stored_);
  if (!there) return failed(there.error());
  const auto all = std::span(stored_);
  if (!*there || !is_right(extent, all.first(extent.stored))) return std::nullopt;
  if (extent.hash_bytes() > 0) std::ranges::copy(std::as_bytes(hasher_.pieces()), all.begin() + extent.stored);
  return stored_;
}

bool RecordChecker::is_right(const PackedExtent& extent, std::span<const std::byte> stored) {
  if (is_patch(extent.codec)) return is_whole_patch(stored, patch_hasher_);
  const auto plain = unpacker_.unpack(extent.codec, stored, extent.length);
  return plain && hasher_.of(*plain) == extent.name;
}

Outcome<OpenPack> make_pack(const RepositoryDirectory& directory) {
  OpenPack pack;
  pack.id = random_pack_id();
  pack.file = Fd(::openat(directory.packs(), part_name(pack.id).c_str(),
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!pack.file) return failed(directory.write_failure(errno, place_of(pack.id, kPartSuffix), kPackHeader));
  const auto header = pack_header();
  if (const int error = write_at(pack.file.get(), header, 0))
    return failed(directory.write_failure(error, place_of(pack.id, kPartSuffix), header.size()));
  pack.size = header.size();
  return pack;
}

Outcome<void> append(const RepositoryDirectory& directory, OpenPack& pack, std::span<PackedExtent> extents,
                     std::span<const std::span<const std::byte>> parts) {
  if (auto written = write_all(directory, pack, parts); !written) return written;
  const std::uint64_t begin = pack.size;
  for (PackedExtent& extent : extents) {
    extent.offset += static_cast<std::uint32_t>(begin);
    pack.size = extent.offset + extent.record_bytes();
    pack.extents.push_back(extent);
  }
  if (pack.size - pack.under_way >= kWriteOut) write_out(pack);
  return {};
}

Outcome<std::uint64_t> seal(const RepositoryDirectory& directory, OpenPack& pack) {
  const Bytes end = pack_end(pack.extents, pack.size);
  const auto failure = [&](int error) {
    return failed(directory.write_failure(error, place_of(pack.id, kPartSuffix), end.size()));
  };
  if (const int error = write_at(pack.file.get(), end, pack.size)) return failure(error);
  if (::fchmod(pack.file.get(), 0400) != 0) return failure(errno);
  if (pack.written_nanos) {
    const timespec time{*pack.written_nanos / kNanos, *pack.written_nanos % kNanos};
    const std::array<timespec, 2> times = {time, time};
    if (::futimens(pack.file.get(), times.data()) != 0) return failure(errno);
  }
  if (::fsync(pack.file.get()) != 0) {
    // The kernel may take what it could not write for written: it is not to be kept.
    const int error = errno;
    ::unlinkat(directory.packs(), part_name(pack.id).c_str(), 0);
    return failure(error);
  }
  ::posix_fadvise(pack.file.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (::renameat(directory.packs(), part_name(pack.id).c_str(), directory.packs(), name_of(pack.id).c_str()) != 0)
    return failure(errno);
  pack.file.reset();
  return pack.size + end.size();
}

Outcome<void> keep_unfinished(const RepositoryDirectory& directory) {
  const auto ids = directory.part_ids();
  if (!ids) return failed(ids.error());
  for (const PackId id : *ids) {
    auto pack = checked_part(directory, id);
    if (!pack) return failed(pack.error());
    if (!pack->extents.empty()) {
      if (auto sealed = seal(directory, *pack); !sealed) return failed(sealed.error());
    } else if (::unlinkat(directory.packs(), part_name(id).c_str(), 0) != 0) {
      return failed_call(errno, "remove {}/{}", directory.path(), place_of(id, kPartSuffix));
    }
  }
  if (ids->empty()) return {};
  return sync_directory(directory.packs());
}

Outcome<OpenPack> PackPool::take() {
  {
    const std::lock_guard lock(mutex_);
    // The fullest first: packs become full one after another.
    const auto fullest = std::max_element(open_.begin(), open_.end(),
                                          [](const OpenPack& a, const OpenPack& b) { return a.size < b.size; });
    if (fullest != open_.end()) {
      OpenPack pack = std::move(*fullest);
      open_.erase(fullest);
      return pack;
    }
  }
  return make_pack(directory_);
}

Outcome<void> PackPool::append(std::span<PackedExtent> extents, std::span<const std::span<const std::byte>> parts) {
  auto pack = take();
  if (!pack) return failed(pack.error());
  // A pack that could not be written stays where it is: the next writer keeps what is right of it.
  if (auto appended = mover::append(directory_, *pack, extents, parts); !appended) return appended;
  return give_back(std::move(*pack));
}

Outcome<void> PackPool::give_back(OpenPack pack) {
  std::optional<OpenPack> due;
  {
    const std::lock_guard lock(mutex_);
    if (!pack.is_full()) {
      open_.push_back(std::move(pack));
      return {};
    }
    closed_.push_back(std::move(pack));
    if (closed_.size() <= kClosedPacks) return {};
    due = std::move(closed_.front());
    closed_.erase(closed_.begin());
  }
  return seal_one(std::move(*due));
}

Outcome<void> PackPool::seal_one(OpenPack pack) {
  const auto bytes = seal(directory_, pack);
  if (!bytes) return failed(bytes.error());
  const std::lock_guard lock(mutex_);
  stored_bytes_ += *bytes;
  sealed_.push_back(pack.id);
  return {};
}

Outcome<void> PackPool::seal_all() {
  std::vector<OpenPack> all;
  {
    const std::lock_guard lock(mutex_);
    all = std::move(closed_);
    for (OpenPack& pack : open_) all.push_back(std::move(pack));
    closed_.clear();
    open_.clear();
  }
  for (OpenPack& pack : all)
    if (auto sealed = seal_one(std::move(pack)); !sealed) return sealed;
  return sync_directory(directory_.packs());
}

std::uint64_t PackPool::stored_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = stored_bytes_;
  for (const auto* packs : {&open_, &closed_})
    for (const OpenPack& pack : *packs) bytes += pack.size;
  return bytes;
}

std::vector<PackId> PackPool::sealed() const {
  const std::lock_guard lock(mutex_);
  return sealed_;
}

}  // namespace roadstead::mover
