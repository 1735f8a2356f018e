#include "mover/repository/manifest.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace roadstead::mover {
namespace {

constexpr std::array<char, 8> kManifestMagic = {'R', 'D', 'S', 'T', 'S', 'N', 'A', 'P'};
constexpr std::uint32_t kManifestVersion = 1;
constexpr std::size_t kManifestStart = 24;
constexpr std::size_t kMaxHeaderText = std::size_t{16} << 20;
constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr std::uint32_t kLeftOut = std::numeric_limits<std::uint32_t>::max();

// Where an encoded entry has what; the layout is wire.h's.
constexpr std::size_t kFixed = 46;  // up to and with the length of the name

template <class T>
T number_at(const std::byte* at) {
  T value{};
  std::memcpy(&value, at, sizeof value);
  return value;
}

struct Start {
  std::uint32_t entries = 0;
  std::uint32_t text = 0;  ///< Bytes of JSON.
};

template <class T>
void put(Bytes& out, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Bytes encoded_start(std::uint32_t entries, std::string_view text) {
  Bytes out;
  put(out, kManifestMagic);
  put(out, kManifestVersion);
  put(out, static_cast<std::uint32_t>(kExtent));
  put(out, entries);
  put(out, static_cast<std::uint32_t>(text.size()));
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
  put(out, Hasher().of(out));
  return out;
}

Failure damaged_snapshot(const std::string& path, std::string_view why) {
  return {"DamagedSnapshot", fmt::format("the snapshot {} {}", path, why),
          "use another snapshot; once this one is not needed, remove it by its name"};
}

/// The file of a manifest, with what stands at its beginning.
struct OpenManifest {
  Fd file;
  std::string path;
  std::uint64_t bytes = 0;
  Start start;
  SnapshotSeen header;

  [[nodiscard]] std::uint64_t entries_at() const { return kManifestStart + start.text + sizeof(Digest); }
  [[nodiscard]] std::uint64_t end() const { return bytes - sizeof(Digest); }
};

Outcome<OpenManifest> open_manifest(const RepositoryDirectory& directory, const std::string& id) {
  OpenManifest manifest;
  manifest.path = fmt::format("{}/snapshots/{}", directory.path(), id);
  if (!is_request_name(id))
    return failed("InvalidJob", fmt::format("\"{}\" cannot be a snapshot's name", id), "correct the snapshot's name");
  manifest.file = Fd(::openat(directory.snapshots(), id.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!manifest.file && errno == ENOENT)
    return failed("NotFound", fmt::format("there is no snapshot {}", manifest.path), "choose one that is there");
  if (!manifest.file) return failed_call(errno, "open {}", manifest.path);
  const auto status = status_of(manifest.file.get());
  if (!status) return failed(status.error());
  manifest.bytes = static_cast<std::uint64_t>(status->st_size);
  const auto damaged = [&](std::string_view why) { return failed(damaged_snapshot(manifest.path, why)); };
  Bytes raw(kManifestStart);
  if (read_at(manifest.file.get(), raw, 0) != static_cast<ssize_t>(raw.size())) return damaged("cannot be read");
  if (std::memcmp(raw.data(), kManifestMagic.data(), kManifestMagic.size()) != 0) return damaged("is no manifest");
  if (number_at<std::uint32_t>(&raw[8]) != kManifestVersion || number_at<std::uint32_t>(&raw[12]) != kExtent)
    return failed("VersionMismatch",
                  fmt::format("the snapshot {} is of a format this mover does not know", manifest.path),
                  "bring a newer mover image to this host");
  manifest.start = {number_at<std::uint32_t>(&raw[16]), number_at<std::uint32_t>(&raw[20])};
  const std::size_t text = manifest.start.text;
  if (text > kMaxHeaderText || manifest.entries_at() > manifest.bytes || manifest.end() < manifest.entries_at())
    return damaged("is cut short");
  raw.resize(kManifestStart + text + sizeof(Digest));
  if (read_at(manifest.file.get(), raw, 0) != static_cast<ssize_t>(raw.size())) return damaged("cannot be read");
  const auto before = std::span<const std::byte>(raw).first(kManifestStart + text);
  const Digest hash = Hasher().of(before);
  if (std::memcmp(hash.data(), before.data() + before.size(), hash.size()) != 0) return damaged("has a damaged header");
  auto header = parse_snapshot_seen({reinterpret_cast<const char*>(raw.data()) + kManifestStart, text});
  if (!header) return damaged("has a header that is no JSON object");
  manifest.header = std::move(*header);
  return manifest;
}

/// Reads all of it: what is looked at later is what was written.
Outcome<void> check_hash(const OpenManifest& manifest) {
  Bytes buffer(std::min<std::uint64_t>(kBuffer, manifest.end()));
  Hasher hasher;
  hasher.start();
  for (std::uint64_t at = 0; at < manifest.end();) {
    const auto part = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), manifest.end() - at));
    if (read_at(manifest.file.get(), part, at) != static_cast<ssize_t>(part.size()))
      return failed(damaged_snapshot(manifest.path, "cannot be read"));
    hasher.add(part);
    at += part.size();
  }
  Digest wanted{};
  if (read_at(manifest.file.get(), wanted, manifest.end()) != static_cast<ssize_t>(wanted.size()) ||
      wanted != hasher.finish())
    return failed(damaged_snapshot(manifest.path, "is damaged: its hash is not what it was"));
  return {};
}

/// A manifest that is being written.
class ManifestFile {
 public:
  explicit ManifestFile(const RepositoryDirectory& directory) : directory_(directory) {}
  ManifestFile(const ManifestFile&) = delete;
  ManifestFile& operator=(const ManifestFile&) = delete;
  ~ManifestFile() {
    if (!finished_) ::unlinkat(directory_.snapshots(), kManifestPart, 0);
  }

  Outcome<void> open() {
    file_ =
        Fd(::openat(directory_.snapshots(), kManifestPart, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file_) return failed(failure(errno));
    hasher_.start();
    return {};
  }

  /// What is appended, now and then to be given to flush().
  Bytes& buffer() { return buffer_; }

  Outcome<void> flush(std::size_t at_least) {
    if (buffer_.size() < at_least || buffer_.empty()) return {};
    hasher_.add(buffer_);
    return write();
  }

  /// Visible and durable under `id`.
  Outcome<void> finish(const std::string& id) {
    if (auto flushed = flush(0); !flushed) return flushed;
    put(buffer_, hasher_.finish());
    if (auto written = write(); !written) return written;
    if (::fchmod(file_.get(), 0400) != 0 || ::fsync(file_.get()) != 0) return failed(failure(errno));
    if (::renameat(directory_.snapshots(), kManifestPart, directory_.snapshots(), id.c_str()) != 0)
      return failed(failure(errno));
    finished_ = true;
    return sync_directory(directory_.snapshots());
  }

 private:
  Outcome<void> write() {
    if (const int error = write_at(file_.get(), buffer_, at_)) return failed(failure(error));
    at_ += buffer_.size();
    buffer_.clear();
    return {};
  }
  [[nodiscard]] Failure failure(int error) const {
    return directory_.write_failure(error, "snapshots", std::max<std::size_t>(buffer_.size(), 1));
  }

  const RepositoryDirectory& directory_;
  Fd file_;
  Bytes buffer_;
  Hasher hasher_;
  std::uint64_t at_ = 0;
  bool finished_ = false;
};

/// Entries by the numbers they have in the manifest; kLeftOut for those that are not in it.
std::vector<std::uint32_t> renumbered(const EntryList& entries, const std::vector<bool>& leave_out) {
  std::vector<std::uint32_t> numbers(leave_out.empty() ? 0 : entries.size());
  std::uint32_t next = 0;
  for (std::uint32_t id = 0; id < numbers.size(); ++id) {
    const Node& node = entries[id];
    const bool out = (id < leave_out.size() && leave_out[id]) || (id != 0 && numbers[node.parent] == kLeftOut) ||
                     (node.type == EntryType::HardLink && numbers[node.link_to()] == kLeftOut);
    numbers[id] = out && id != 0 ? kLeftOut : next++;
  }
  return numbers;
}

/// What of a list is in a snapshot, with the numbers it has there.
class Selection {
 public:
  Selection(const EntryList& entries, const std::vector<bool>& leave_out)
      : entries_(entries), numbers_(renumbered(entries, leave_out)) {}

  [[nodiscard]] bool has(std::uint32_t id) const { return numbers_.empty() || numbers_[id] != kLeftOut; }
  [[nodiscard]] Entry entry_of(std::uint32_t id) const {
    Entry entry = entries_.entry_of(id);
    if (numbers_.empty()) return entry;
    entry.parent = numbers_[entry.parent];
    if (entry.type == EntryType::HardLink) entry.link_to = numbers_[entry.link_to];
    return entry;
  }

  void count(SnapshotSeen& header) const {
    header.entries = header.files = header.logical_bytes = header.data_bytes = 0;
    for (std::uint32_t id = 0; id < entries_.size(); ++id) {
      if (!has(id)) continue;
      ++header.entries;
      if (entries_[id].type != EntryType::File) continue;
      ++header.files;
      header.logical_bytes += entries_[id].size;
      header.data_bytes += entries_.data_bytes_of(id);
    }
  }

 private:
  const EntryList& entries_;
  std::vector<std::uint32_t> numbers_;  ///< Empty: everything, as it is.
};

Failure broken_promise(const EntryList& entries, std::uint32_t id, std::string_view why) {
  return {"Internal", fmt::format("{}: {}; no snapshot was made", entries.path_of(id), why),
          "run the step again; if it happens again, report it with the mover's log"};
}

Outcome<void> append_digests(Bytes& out, const Repository& repository, const EntryList& entries, std::uint32_t id,
                             std::span<const Digest> digests) {
  if (digests.size() != entries.extents_of(id))
    return failed(broken_promise(entries, id, "the number of its extents is wrong"));
  for (const Digest& digest : digests)
    if (!repository.has(digest))
      return failed(broken_promise(entries, id, "one of its extents is not in the repository"));
  const auto bytes = std::as_bytes(digests);
  out.insert(out.end(), bytes.begin(), bytes.end());
  return {};
}

Outcome<void> write_entries(ManifestFile& file, const Repository& repository, const EntryList& entries,
                            const Selection& selection, const DigestsOf& digests_of) {
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (!selection.has(id)) continue;
    append(file.buffer(), selection.entry_of(id));
    if (entries[id].type == EntryType::File && entries.extents_of(id) > 0)
      if (auto done = append_digests(file.buffer(), repository, entries, id, digests_of(id)); !done) return done;
    if (auto flushed = file.flush(kBuffer); !flushed) return flushed;
  }
  return {};
}

/// How many extents a file of an encoded entry has; nothing where its ranges are impossible.
std::optional<std::uint64_t> extents_in(std::span<const std::byte> ranges, bool sparse, std::uint64_t size) {
  if (!sparse) return pieces_in({0, size});
  std::uint64_t extents = 0;
  for (std::size_t at = 0; at < ranges.size(); at += sizeof(Range)) {
    const Range range{number_at<std::uint64_t>(&ranges[at]), number_at<std::uint64_t>(&ranges[at + 8])};
    if (range.length == 0 || range.offset > size || range.length > size - range.offset) return std::nullopt;
    extents += pieces_in(range);
  }
  return extents;
}

/// Steps over the parts of an encoded entry that may not be there. Knows when something is cut short.
class Skipper {
 public:
  Skipper(const std::byte* begin, std::uint64_t bytes) : begin_(begin), bytes_(bytes) {}

  void skip(std::uint64_t bytes) {
    if (bytes > bytes_ - at_) ok_ = false;
    if (ok_) at_ += bytes;
  }
  template <class T>
  T take() {
    const std::uint64_t from = at_;
    skip(sizeof(T));
    return ok_ ? number_at<T>(begin_ + from) : T{};
  }
  [[nodiscard]] std::span<const std::byte> since(std::uint64_t from) const { return {begin_ + from, at_ - from}; }
  [[nodiscard]] std::uint64_t at() const { return at_; }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const std::byte* begin_;
  std::uint64_t bytes_;
  std::uint64_t at_ = 0;
  bool ok_ = true;
};

/// The entry at the front of `bytes`, and how many it and its digests have; 0 where that is none.
std::pair<ManifestEntry, std::uint64_t> parsed(std::span<const std::byte> bytes) {
  constexpr std::uint8_t kSparse = 1, kAttributes = 2;
  if (bytes.size() < kFixed) return {};
  const std::byte* at = bytes.data();
  ManifestEntry entry;
  entry.type = static_cast<EntryType>(at[0]);
  const auto flags = std::to_integer<std::uint8_t>(at[1]);
  entry.sparse = (flags & kSparse) != 0;
  entry.parent = number_at<std::uint32_t>(at + 2);
  entry.mode = number_at<std::uint16_t>(at + 6);
  entry.uid = number_at<std::uint32_t>(at + 8);
  entry.gid = number_at<std::uint32_t>(at + 12);
  entry.mtime_seconds = number_at<std::int64_t>(at + 16);
  entry.mtime_nanos = number_at<std::uint32_t>(at + 24);
  const bool file = entry.type == EntryType::File;
  if (file) entry.size = number_at<std::uint64_t>(at + 28);
  if (file) entry.stamp = number_at<std::uint64_t>(at + 36);
  const auto name_length = number_at<std::uint16_t>(at + 44);
  Skipper rest(at, bytes.size());
  rest.skip(kFixed + std::uint64_t{name_length});
  if (!rest.ok()) return {};
  entry.name = {reinterpret_cast<const char*>(at) + kFixed, name_length};
  if (entry.type == EntryType::SymbolicLink) rest.skip(rest.take<std::uint16_t>());
  std::span<const std::byte> ranges;
  if (entry.sparse) {
    const auto count = rest.take<std::uint32_t>();
    const std::uint64_t from = rest.at();
    rest.skip(count * std::uint64_t{sizeof(Range)});
    ranges = rest.since(from);
  }
  if ((flags & kAttributes) != 0)
    for (auto count = rest.take<std::uint16_t>(); count > 0 && rest.ok(); --count) {
      rest.skip(rest.take<std::uint16_t>());
      rest.skip(rest.take<std::uint32_t>());
    }
  if (!rest.ok()) return {};
  entry.encoded = rest.since(0);
  if (!file) return {entry, rest.at()};
  const auto extents = extents_in(ranges, entry.sparse, entry.size);
  if (!extents || *extents > bytes.size() / sizeof(Digest)) return {};
  const std::uint64_t from = rest.at();
  rest.skip(*extents * sizeof(Digest));
  if (!rest.ok()) return {};
  entry.digests = {reinterpret_cast<const Digest*>(at + from), *extents};
  return {entry, rest.at()};
}

}  // namespace

Outcome<SnapshotSeen> commit(Repository& repository, SnapshotSeen header, const EntryList& entries,
                             const DigestsOf& digests_of, const std::vector<bool>& leave_out) {
  const RepositoryDirectory& directory = repository.directory();
  if (!is_request_name(header.id))
    return failed("InvalidJob", fmt::format("\"{}\" cannot be a snapshot's name", header.id),
                  "correct the snapshot's name");
  const auto there = status_of(directory.snapshots(), header.id);
  if (!there) return failed(there.error());
  if (*there)
    return failed("Exists", fmt::format("there is a snapshot {} in {} already", header.id, directory.path()),
                  "give the new one another name");
  // Everything that a manifest names is durable before it is visible.
  if (auto sealed = repository.seal(); !sealed) return failed(sealed.error());
  const Selection selection(entries, leave_out);
  selection.count(header);
  header.stored_bytes = repository.stored_bytes();
  ManifestFile file(directory);
  if (auto opened = file.open(); !opened) return failed(opened.error());
  file.buffer() = encoded_start(static_cast<std::uint32_t>(header.entries), to_json(header));
  if (auto written = write_entries(file, repository, entries, selection, digests_of); !written)
    return failed(written.error());
  if (auto finished = file.finish(header.id); !finished) return failed(finished.error());
  return header;
}

Outcome<SnapshotSeen> read_header(const RepositoryDirectory& directory, const std::string& id) {
  auto manifest = open_manifest(directory, id);
  if (!manifest) return failed(manifest.error());
  return std::move(manifest->header);
}

Outcome<SnapshotList> list_snapshots(const RepositoryDirectory& directory) {
  const auto ids = directory.snapshot_ids();
  if (!ids) return failed(ids.error());
  const auto kept = directory.kept();
  if (!kept) return failed(kept.error());
  SnapshotList list;
  for (const std::string& id : *ids) {
    auto header = read_header(directory, id);
    if (!header || header->id != id) {
      list.unreadable.push_back(id);
      continue;
    }
    header->kept = std::binary_search(kept->begin(), kept->end(), id);
    list.snapshots.push_back(std::move(*header));
  }
  std::stable_sort(list.snapshots.begin(), list.snapshots.end(),
                   [](const SnapshotSeen& a, const SnapshotSeen& b) { return a.data_as_of < b.data_as_of; });
  return list;
}

void Unmap::operator()(const std::byte* at) const { ::munmap(const_cast<std::byte*>(at), bytes); }

Outcome<ManifestView> ManifestView::open(const RepositoryDirectory& directory, const std::string& id) {
  auto manifest = open_manifest(directory, id);
  if (!manifest) return failed(manifest.error());
  if (auto checked = check_hash(*manifest); !checked) return failed(checked.error());
  ManifestView view;
  view.header_ = std::move(manifest->header);
  void* map = ::mmap(nullptr, manifest->bytes, PROT_READ, MAP_PRIVATE, manifest->file.get(), 0);
  if (map == MAP_FAILED) return failed_call(errno, "map {}", manifest->path);
  view.map_ = {static_cast<const std::byte*>(map), Unmap{manifest->bytes}};
  if (!view.index(manifest->entries_at(), manifest->end(), manifest->start.entries))
    return failed(damaged_snapshot(manifest->path, "was written wrong: its entries do not add up"));
  return view;
}

bool ManifestView::index(std::uint64_t at, std::uint64_t end, std::uint32_t entries) {
  if (entries == 0 || entries > (end - at) / kFixed) return false;
  offsets_.reserve(entries);
  for (std::uint32_t id = 0; id < entries; ++id) {
    const auto [entry, bytes] = parsed({map_.get() + at, end - at});
    const bool placed = id == 0 ? entry.parent == 0 : entry.parent < id;
    if (bytes == 0 || !placed) return false;
    if (id != 0 && (children_.empty() || children_.back().directory != entry.parent)) {
      if (!children_.empty() && entry.parent < children_.back().directory) return false;
      children_.push_back({entry.parent, id});
    }
    while (at >> 32 > turns_.size()) turns_.push_back(id);
    offsets_.push_back(static_cast<std::uint32_t>(at));
    at += bytes;
  }
  children_.shrink_to_fit();
  return at == end;
}

const std::byte* ManifestView::at(std::uint32_t id) const {
  const auto turns = std::upper_bound(turns_.begin(), turns_.end(), id) - turns_.begin();
  return map_.get() + (static_cast<std::uint64_t>(turns) << 32 | offsets_[id]);
}

ManifestEntry ManifestView::operator[](std::uint32_t id) const {
  const std::byte* begin = at(id);
  return parsed({begin, map_.get() + map_.get_deleter().bytes}).first;
}

std::string_view ManifestView::name_of(std::uint32_t id) const {
  const std::byte* begin = at(id);
  return {reinterpret_cast<const char*>(begin) + kFixed, number_at<std::uint16_t>(begin + kFixed - 2)};
}

ChildIds ManifestView::children_of(std::uint32_t directory) const {
  const auto found =
      std::lower_bound(children_.begin(), children_.end(), directory,
                       [](const Children& children, std::uint32_t id) { return children.directory < id; });
  if (found == children_.end() || found->directory != directory) return {0, 0};
  const std::uint32_t end = std::next(found) == children_.end() ? size() : std::next(found)->first;
  return {found->first, end - found->first};
}

std::uint32_t ManifestView::find(std::uint32_t directory, std::string_view name, std::uint32_t guess) const {
  if (guess != 0 && guess < size() && name_of(guess) == name && (*this)[guess].parent == directory) return guess;
  const ChildIds children = children_of(directory);
  std::uint32_t first = children.first(), count = children.size();
  while (count > 0) {
    const std::uint32_t half = count / 2;
    const int order = name_of(first + half).compare(name);
    if (order == 0) return first + half;
    if (order < 0) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return 0;
}

std::string ManifestView::path_of(std::uint32_t id) const {
  if (id == 0) return ".";
  std::string path(name_of(id));
  for (id = (*this)[id].parent; id != 0; id = (*this)[id].parent) path.insert(0, std::string(name_of(id)) + "/");
  return path;
}

Outcome<Manifest> read_manifest(const RepositoryDirectory& directory, const std::string& id) {
  const auto view = ManifestView::open(directory, id);
  if (!view) return failed(view.error());
  Manifest manifest;
  manifest.header = view->header();
  for (std::uint32_t number = 0; number < view->size(); ++number) {
    const ManifestEntry seen = (*view)[number];
    std::span<const std::byte> encoded = seen.encoded;
    const auto entry = take_entry(encoded);
    if (!entry || !encoded.empty() || !manifest.entries.add(*entry) ||
        manifest.entries.extents() != manifest.digests.size() + seen.digests.size())
      return failed(damaged_snapshot(fmt::format("{}/snapshots/{}", directory.path(), id),
                                     "was written wrong: its entries break the rules of a tree"));
    manifest.digests.insert(manifest.digests.end(), seen.digests.begin(), seen.digests.end());
  }
  return manifest;
}

}  // namespace roadstead::mover
