#include "mover/journal.h"

#include <algorithm>
#include <memory>

#include "mover/bound_file.h"

namespace roadstead::mover {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::size_t kBatch = 512;  ///< Records per write.
constexpr std::string_view kTitle = "roadstead journal 2\n";

}  // namespace

Outcome<Journal> Journal::open(int request, const char* name, std::uint64_t tree_inode) {
  auto bound = BoundFile::open(request, name, kTitle, tree_inode);
  if (!bound) return failed(bound.error());
  Journal journal(std::move(bound->file));
  if (bound->fits) journal.load();
  return journal;
}

Outcome<std::uint64_t> Journal::tree_of(int request) { return BoundFile::tree_of(request, kJournalName, kTitle); }

Journal::Record Journal::record_of(const struct stat& built, const Node& entry) {
  Record record = mixed(entry.size + 1);
  const std::int64_t change = built.st_ctim.tv_sec * kNanos + built.st_ctim.tv_nsec;
  for (const std::uint64_t part : {entry.stamp & ~kUnsettled, static_cast<std::uint64_t>(change),
                                   std::uint64_t{built.st_ino}, std::uint64_t{built.st_dev}})
    record = mixed(record ^ mixed(part));
  return record;
}

bool Journal::holds(const struct stat& built, const Node& entry) const {
  return static_cast<std::uint64_t>(built.st_size) == entry.size &&
         std::binary_search(known_.begin(), known_.end(), record_of(built, entry));
}

void Journal::add(const struct stat& built, const Node& entry) {
  const std::lock_guard lock(*mutex_);
  fresh_.push_back(record_of(built, entry));
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
  const auto status = status_of(file_.get());
  if (!status || static_cast<std::uint64_t>(status->st_size) <= BoundFile::kHeaderBytes) return;
  known_.resize((static_cast<std::uint64_t>(status->st_size) - BoundFile::kHeaderBytes) / sizeof(Record));
  const ssize_t n = read_at(file_.get(), std::as_writable_bytes(std::span(known_)), BoundFile::kHeaderBytes);
  known_.resize(n < 0 ? 0 : static_cast<std::size_t>(n) / sizeof(Record));
  // What a killed mover wrote only half would shift all later records.
  [[maybe_unused]] const int cut =
      ::ftruncate(file_.get(), static_cast<off_t>(BoundFile::kHeaderBytes + known_.size() * sizeof(Record)));
  std::sort(known_.begin(), known_.end());
}

}  // namespace roadstead::mover
