#include "mover/journal.h"

#include <fcntl.h>

#include <array>
#include <cstring>

namespace roadstead::mover {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::size_t kBatch = 64;  ///< Records per write.

struct Header {
  std::array<char, 20> title = {'r', 'o', 'a', 'd', 's', 't', 'e', 'a', 'd', ' ',
                                'j', 'o', 'u', 'r', 'n', 'a', 'l', ' ', '1', '\n'};
  std::array<char, 36> boot{};  ///< The kernel's boot id; zero where it cannot be read.
  std::uint64_t tree_inode = 0;
};
static_assert(sizeof(Header) == 64);

std::array<char, 36> boot_id() {
  std::array<char, 36> id{};
  const Fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (!file || ::read(file.get(), id.data(), id.size()) != static_cast<ssize_t>(id.size())) id.fill('\0');
  return id;
}

std::uint64_t mixed(std::uint64_t value) {  // the finalizer of splitmix64
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

std::optional<Header> read_header(int file) {
  Header header;
  if (read_at(file, std::as_writable_bytes(std::span(&header, 1)), 0) != sizeof header) return std::nullopt;
  if (header.title != Header{}.title) return std::nullopt;
  return header;
}

}  // namespace

Outcome<Journal> Journal::open(int request, std::uint64_t tree_inode) {
  Journal journal(Fd(::openat(request, kJournalName, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)));
  const int file = journal.file_.get();
  if (file < 0) return failed_call(errno, "open the journal");
  Header fresh;
  fresh.boot = boot_id();
  fresh.tree_inode = tree_inode;
  const auto found = read_header(file);
  const bool known_boot = fresh.boot[0] != '\0';
  if (found && known_boot && found->boot == fresh.boot && found->tree_inode == tree_inode) {
    journal.load();
    return journal;
  }
  if (::ftruncate(file, 0) != 0) return failed_call(errno, "empty the journal");
  if (::write(file, &fresh, sizeof fresh) != sizeof fresh) return failed_call(errno, "write the journal");
  return journal;
}

Outcome<std::uint64_t> Journal::tree_of(int request) {
  const Fd file(::openat(request, kJournalName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) return 0;
  if (!file) return failed_call(errno, "open the journal");
  const auto header = read_header(file.get());
  return header ? header->tree_inode : 0;
}

Journal::Record Journal::record_of(const struct stat& staged, const Node& entry) {
  Record record{staged.st_ino, staged.st_ctim.tv_sec * kNanos + staged.st_ctim.tv_nsec, entry.stamp, entry.size, 0};
  record.check = mixed(record.inode ^ mixed(static_cast<std::uint64_t>(record.change_nanos) ^
                                            mixed(record.stamp ^ mixed(record.size + 1))));
  return record;
}

bool Journal::holds(const struct stat& staged, const Node& entry) const {
  const auto found = known_.find(staged.st_ino);
  return found != known_.end() && static_cast<std::uint64_t>(staged.st_size) == entry.size &&
         found->second.check == record_of(staged, entry).check;
}

void Journal::add(const struct stat& staged, const Node& entry) {
  const std::lock_guard lock(*mutex_);
  fresh_.push_back(record_of(staged, entry));
  if (fresh_.size() >= kBatch) write_out();
}

void Journal::flush() {
  const std::lock_guard lock(*mutex_);
  write_out();
}

void Journal::write_out() {
  if (fresh_.empty()) return;
  // A record that could not be written only costs the next attempt some reading.
  [[maybe_unused]] const ssize_t written = ::write(file_.get(), fresh_.data(), fresh_.size() * sizeof(Record));
  fresh_.clear();
}

void Journal::load() {
  std::vector<Record> records(4096);
  std::uint64_t at = sizeof(Header);
  for (;;) {
    const ssize_t n = read_at(file_.get(), std::as_writable_bytes(std::span(records)), at);
    if (n <= 0) return;
    const std::size_t count = static_cast<std::size_t>(n) / sizeof(Record);
    for (std::size_t i = 0; i < count; ++i) known_[records[i].inode] = records[i];
    at += count * sizeof(Record);
    if (count == records.size()) continue;
    // What a killed mover wrote only half would shift all later records.
    [[maybe_unused]] const int cut = ::ftruncate(file_.get(), static_cast<off_t>(at));
    return;
  }
}

}  // namespace roadstead::mover
