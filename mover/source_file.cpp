#include "mover/source_file.h"

#include <fcntl.h>

#include <algorithm>

namespace roadstead::mover {
namespace {

constexpr std::size_t kCached = std::size_t{256} << 10;  ///< Hashed while it is still in the CPU's cache.
constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

}  // namespace

Outcome<void> SourceFiles::read(std::uint32_t file, std::uint64_t offset, std::span<std::byte> out, Hasher* hasher) {
  if (file != file_id_)
    if (auto opened = open(file); !opened) return opened;
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kCached));
    const ssize_t n = read_at(file_.get(), piece, offset);
    if (n < 0) return failed_call(errno, "read source {}", scan_.entries.path_of(file));
    if (static_cast<std::size_t>(n) < piece.size()) return changed(file, "shrank while it was read");
    if (hasher) hasher->add(piece);
    out = out.subspan(piece.size());
    offset += piece.size();
  }
  return {};
}

void SourceFiles::announce(std::uint32_t file, std::uint64_t offset, std::size_t length) const {
  if (file == file_id_)
    ::posix_fadvise(file_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_WILLNEED);
}

Outcome<void> SourceFiles::open(std::uint32_t file) {
  if (auto closed = close(); !closed) return closed;
  const Node& entry = scan_.entries[file];
  if (!directory_ || directory_id_ != entry.parent) {
    auto directory = open_entry_directory(scan_.entries, scan_.root.get(), entry.parent);
    if (!directory) return changed(file, "has lost its directory");
    directory_ = std::move(*directory);
    directory_id_ = entry.parent;
  }
  // Reading for a backup should not look like use; only owners may ask for that.
  file_ = Fd(::openat(directory_.get(), entry.name_bytes, kFlags | O_NOATIME));
  if (!file_ && errno == EPERM) file_ = Fd(::openat(directory_.get(), entry.name_bytes, kFlags));
  if (!file_ && (errno == ENOENT || errno == ELOOP)) return changed(file, "vanished");
  if (!file_) return failed_call(errno, "open source {}", scan_.entries.path_of(file));
  file_id_ = file;
  const auto status = status_of(file_.get());
  if (!status) return failed(status.error());
  if (stamp_of(*status) != scan_.entries[file].stamp) return changed(file, "changed after it was listed");
  return {};
}

Outcome<void> SourceFiles::close() {
  if (file_id_ == kNone) return {};
  const std::uint32_t file = std::exchange(file_id_, kNone);
  const Fd closing = std::move(file_);
  const auto status = status_of(closing.get());
  if (!status) return failed(status.error());
  if (stamp_of(*status) != scan_.entries[file].stamp) return changed(file, "changed while it was read");
  return {};
}

tl::unexpected<Failure> SourceFiles::changed(std::uint32_t file, std::string_view how) const {
  return failed(source_changed(fmt::format("source {}: {}", scan_.entries.path_of(file), how)));
}

}  // namespace roadstead::mover
