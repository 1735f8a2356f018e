#include "mover/bound_file.h"

#include <fcntl.h>

#include <algorithm>

namespace roadstead::mover {
namespace {

struct Header {
  std::array<char, 20> title{};
  std::array<char, 36> boot{};  ///< The kernel's boot id; zero where it cannot be read.
  std::uint64_t tree_inode = 0;
};
static_assert(sizeof(Header) == BoundFile::kHeaderBytes);

Header header_for(std::string_view title) {
  Header header;
  std::copy_n(title.begin(), std::min(title.size(), header.title.size()), header.title.begin());
  return header;
}

std::array<char, 36> boot_id() {
  std::array<char, 36> id{};
  const Fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (!file || ::read(file.get(), id.data(), id.size()) != static_cast<ssize_t>(id.size())) id.fill('\0');
  return id;
}

std::optional<Header> read_header(int file, std::string_view title) {
  Header header;
  if (read_at(file, std::as_writable_bytes(std::span(&header, 1)), 0) != sizeof header) return std::nullopt;
  if (header.title != header_for(title).title) return std::nullopt;
  return header;
}

}  // namespace

Outcome<BoundFile> BoundFile::open(int directory, const char* name, std::string_view title, std::uint64_t tree_inode) {
  BoundFile bound;
  bound.file = Fd(::openat(directory, name, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  const int file = bound.file.get();
  if (file < 0) return failed_call(errno, "open {}", name);
  Header fresh = header_for(title);
  fresh.boot = boot_id();
  fresh.tree_inode = tree_inode;
  const auto found = read_header(file, title);
  bound.fits = found && fresh.boot[0] != '\0' && found->boot == fresh.boot && found->tree_inode == tree_inode;
  if (bound.fits) return bound;
  if (::ftruncate(file, 0) != 0) return failed_call(errno, "empty {}", name);
  if (::write(file, &fresh, sizeof fresh) != sizeof fresh) return failed_call(errno, "write {}", name);
  return bound;
}

Outcome<std::uint64_t> BoundFile::tree_of(int directory, const char* name, std::string_view title) {
  const Fd file(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) return 0;
  if (!file) return failed_call(errno, "open {}", name);
  const auto header = read_header(file.get(), title);
  return header ? header->tree_inode : 0;
}

std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

}  // namespace roadstead::mover
