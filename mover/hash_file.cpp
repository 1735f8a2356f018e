#include "mover/hash_file.h"

#include <algorithm>
#include <cstring>

#include "mover/bound_file.h"
#include "mover/entry.h"
#include "mover/wire.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kBatch = std::size_t{256} << 10;  ///< Bytes per write.
constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::string_view kTitle = "roadstead hashes 2\n";

std::uint64_t nanos_of(const timespec& time) { return static_cast<std::uint64_t>(time.tv_sec * kNanos + time.tv_nsec); }

std::uint64_t pieces_of(std::uint64_t size) { return (size + kExtent - 1) / kExtent; }

std::uint64_t check_of(std::uint64_t key, std::span<const Digest> digests) {
  Hasher hasher;
  hasher.start();
  hasher.add(std::as_bytes(std::span(&key, 1)));
  hasher.add(std::as_bytes(digests));
  return prefix_of(hasher.finish());
}

}  // namespace

Outcome<HashFile> HashFile::open(int request, std::uint64_t tree_inode) {
  auto bound = BoundFile::open(request, kHashesName, kTitle, tree_inode);
  if (!bound) return failed(bound.error());
  HashFile hashes(std::move(bound->file));
  if (bound->fits) hashes.load();
  return hashes;
}

std::uint64_t HashFile::key_of(const struct stat& status) {
  std::uint64_t key = mixed(static_cast<std::uint64_t>(status.st_size) + 1);
  for (const std::uint64_t part :
       {nanos_of(status.st_ctim), nanos_of(status.st_mtim), std::uint64_t{status.st_ino}, std::uint64_t{status.st_dev}})
    key = mixed(key ^ mixed(part));
  return key;
}

std::vector<HashFile::Known>::const_iterator HashFile::known_of(std::uint64_t key) const {
  const auto found = std::lower_bound(known_.begin(), known_.end(), key,
                                      [](const Known& one, std::uint64_t wanted) { return one.key < wanted; });
  return found != known_.end() && found->key == key ? found : known_.end();
}

bool HashFile::has(const struct stat& status) const { return known_of(key_of(status)) != known_.end(); }

std::optional<std::vector<Digest>> HashFile::find(const struct stat& status) const {
  const std::uint64_t key = key_of(status);
  const auto known = known_of(key);
  if (known == known_.end()) return std::nullopt;
  Head head;
  if (read_at(file_.get(), std::as_writable_bytes(std::span(&head, 1)), known->offset) != sizeof head)
    return std::nullopt;
  if (head.key != key || head.count != pieces_of(static_cast<std::uint64_t>(status.st_size))) return std::nullopt;
  std::vector<Digest> digests(head.count);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(digests));
  if (read_at(file_.get(), bytes, known->offset + sizeof head) != static_cast<ssize_t>(bytes.size()) ||
      check_of(key, digests) != head.check)
    return std::nullopt;
  return digests;
}

void HashFile::add(const struct stat& status, const std::vector<Digest>& digests) {
  Head head{key_of(status), digests.size(), 0};
  head.check = check_of(head.key, digests);
  const auto append = [&](std::span<const std::byte> bytes) {
    fresh_.insert(fresh_.end(), bytes.begin(), bytes.end());
  };
  const std::lock_guard lock(*mutex_);
  append(std::as_bytes(std::span(&head, 1)));
  append(std::as_bytes(std::span(digests)));
  if (fresh_.size() >= kBatch) write_out();
}

void HashFile::flush() {
  const std::lock_guard lock(*mutex_);
  write_out();
}

void HashFile::write_out() {
  [[maybe_unused]] const ssize_t written = ::write(file_.get(), fresh_.data(), fresh_.size());
  fresh_.clear();
}

void HashFile::load() {
  const auto status = status_of(file_.get());
  if (!status) return;
  const auto end = static_cast<std::uint64_t>(status->st_size);
  std::uint64_t at = BoundFile::kHeaderBytes;
  for (Head head; at + sizeof head <= end; at += sizeof head + head.count * sizeof(Digest)) {
    if (read_at(file_.get(), std::as_writable_bytes(std::span(&head, 1)), at) != sizeof head) break;
    // What a killed mover wrote only half is the last.
    if (head.count > (end - at - sizeof head) / sizeof(Digest)) break;
    known_.push_back({head.key, at});
  }
  [[maybe_unused]] const int cut = ::ftruncate(file_.get(), static_cast<off_t>(at));
  std::sort(known_.begin(), known_.end(), [](const Known& a, const Known& b) { return a.key < b.key; });
}

}  // namespace roadstead::mover
