#include "mover/in_place.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "mover/directory_cursor.h"
#include "mover/finish_file.h"
#include "mover/hash_file.h"
#include "mover/journal.h"
#include "mover/keystone.h"
#include "mover/link_groups.h"
#include "mover/metadata.h"
#include "mover/place.h"
#include "mover/settled.h"
#include "mover/tree_parts.h"

namespace roadstead::mover {
namespace {

/// A file whose last change lies closer before its reading could change again and keep its time of change: the clock
/// of a file system ticks some hundred times a second at best.
constexpr time_t kSettledSeconds = 2;

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// What the threads of an in-place copy share.
struct Volume {
  Place place;
  Fd data;
  HashFile hashes;
  Journal journal;
  bool tells_changes = false;
  Settled settled;  ///< These files are remembered by a comparison.
  LinkGroups links;
  std::optional<Keystone> keystone;

  [[nodiscard]] bool is_keystone(std::uint32_t file) const { return keystone && keystone->entry() == file; }
};

// ---- a comparison ---------------------------------------------------------------------------------------------------

struct ComparedFile final : FileState {
  ComparedFile(Fd opened, const struct stat& now)
      : file(std::move(opened)),
        status(now),
        digests((static_cast<std::uint64_t>(now.st_size) + kExtent - 1) / kExtent, kZeroDigest) {}

  Fd file;
  struct stat status;
  std::mutex mutex;  // guards digests
  std::vector<Digest> digests;
};

/// Hashes what is there and asks for nothing.
class ComparingThread final : public SinkThread {
 public:
  ComparingThread(Volume& volume, const EntryList& entries)
      : volume_(volume), entries_(entries), directories_(entries, volume.data.get()) {}

  Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) override {
    const Node& entry = entries_[file];
    if (!volume_.tells_changes || volume_.is_keystone(file) || entry.size == 0) return nullptr;
    const auto directory = directories_.enter(entry.parent);
    if (!directory) return nullptr;  // the run that follows will see what is there instead
    Fd fd(::openat(*directory, entry.name_bytes, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
    if (status.st_size == 0 || !volume_.settled.has(status) || volume_.hashes.has(status)) return nullptr;
    return std::make_unique<ComparedFile>(std::move(fd), status);
  }

  Outcome<std::optional<Digest>> look(const Spot& spot, FileState& state, Seen&) override {
    auto& file = static_cast<ComparedFile&>(state);
    const auto size = static_cast<std::uint64_t>(file.status.st_size);
    const std::uint64_t piece = spot.offset / kExtent, begin = piece * kExtent;
    if (begin >= size) return std::nullopt;
    buffer_.resize(kExtent);
    const auto out = std::span(buffer_).first(std::min<std::uint64_t>(kExtent, size - begin));
    if (read_at(file.file.get(), out, begin) != static_cast<ssize_t>(out.size())) return std::nullopt;
    const Digest digest = hasher_.of(out);
    const std::lock_guard lock(file.mutex);
    file.digests[piece] = digest;
    return std::nullopt;
  }

  Outcome<void> same(const Spot&, FileState&, const Digest&, std::span<const std::byte>) override { return {}; }
  Outcome<bool> read_old(const Spot&, FileState&, const Digest&, std::span<std::byte>) override { return false; }
  Outcome<void> put(const Spot&, FileState&, const Extent&) override { return {}; }

  Outcome<void> complete(std::uint32_t, FileState& state) override {
    auto& file = static_cast<ComparedFile&>(state);
    const auto now = status_of(file.file.get());
    if (now && is_same(*now, file.status)) volume_.hashes.add(*now, file.digests);
    file.file.reset();
    return {};
  }

 private:
  Volume& volume_;
  const EntryList& entries_;
  DirectoryCursor directories_;
  Hasher hasher_;
  Bytes buffer_;
};

// ---- the change -----------------------------------------------------------------------------------------------------

class ChangingThread final : public TreeThread {
 public:
  ChangingThread(Volume& volume, const EntryList& entries)
      : TreeThread(entries), volume_(volume), directories_(entries, volume.data.get()) {}

  Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) override {
    auto opened = std::make_unique<TreeFile>();
    if (volume_.is_keystone(file)) {
      auto fresh = volume_.keystone->open_new(volume_.place.request.get());
      if (!fresh) return failed(fresh.error());
      opened->file = std::move(*fresh);
    } else {
      const auto wanted = open_there(file, *opened);
      if (!wanted) return failed(wanted.error());
      if (!*wanted) return nullptr;
    }
    if (auto shaped = shape_file(opened->file.get(), entries(), file); !shaped) return failed(shaped.error());
    return opened;
  }

  Outcome<void> complete(std::uint32_t file, FileState& state) override {
    const int fd = static_cast<TreeFile&>(state).file.get();
    if (volume_.is_keystone(file)) return {};  // dressed when it is put in place
    const auto before = status_of(fd);
    if (!before) return failed(before.error());
    if (auto given = give_metadata(fd, entries(), file, *before, Attributes::Unknown); !given) return given;
    const auto after = status_of(fd);
    if (!after) return failed(after.error());
    volume_.journal.add(*after, entries()[file]);
    return {};
  }

 private:
  /// False: it was completed by an earlier attempt.
  Outcome<bool> open_there(std::uint32_t file, TreeFile& opened) {
    const Node& entry = entries()[file];
    const auto directory = directories_.enter(entry.parent);
    if (!directory) return failed(directory.error());
    const auto status = status_of(*directory, entry.name_bytes);
    if (!status) return failed(status.error());
    if (!*status) return make(file, *directory, opened);
    if (!S_ISREG((*status)->st_mode))
      return failed("Changed", fmt::format("{} became something else meanwhile", entries().path_of(file)),
                    "stop whatever uses the volume, then run the step again");
    const nlink_t names = volume_.links.names_of(file);
    if (volume_.tells_changes && (*status)->st_nlink == names && volume_.journal.holds(**status, entry)) return false;
    auto fd = open_file_below(*directory, entry.name_bytes, O_RDWR | O_NONBLOCK);
    const bool runs = !fd && fd.error().reason == "Running";
    if (!fd && !runs) return failed(fd.error());
    if (fd) opened.file = std::move(*fd);
    const auto now = opened.file ? status_of(opened.file.get()) : Outcome<struct stat>(**status);
    if (!now) return failed(now.error());
    // A program that runs, or a file with a name that is none of the source's: it is left to them.
    if (!opened.file || !S_ISREG(now->st_mode) || now->st_nlink != names) return replace(file, *directory, opened);
    opened.has_content = now->st_size > 0;
    if (auto known = volume_.hashes.find(*now); known && volume_.tells_changes) {
      opened.known = std::move(*known);
      opened.known_size = static_cast<std::uint64_t>(now->st_size);
    }
    return true;
  }

  Outcome<bool> make(std::uint32_t file, int directory, TreeFile& opened) {
    opened.file =
        Fd(::openat(directory, entries()[file].name_bytes, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!opened.file) return failed_call(errno, "make {}", entries().path_of(file));
    return true;
  }

  Outcome<bool> replace(std::uint32_t file, int directory, TreeFile& opened) {
    const char* name = entries()[file].name_bytes;
    Fd old = std::move(opened.file);
    if (!old) old = Fd(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (::unlinkat(directory, name, 0) != 0) return failed_call(errno, "remove {}", entries().path_of(file));
    opened.file = Fd();
    if (auto made = make(file, directory, opened); !made) return made;
    struct stat status {};
    if (!old || ::fstat(old.get(), &status) != 0 || !S_ISREG(status.st_mode)) return true;
    opened.old = std::move(old);
    opened.old_size = static_cast<std::uint64_t>(status.st_size);
    return true;
  }

  Volume& volume_;
  DirectoryCursor directories_;
};

// ---- the sink -------------------------------------------------------------------------------------------------------

class InPlaceSink final : public Sink {
 public:
  InPlaceSink(const InPlace& job, std::unique_ptr<Volume> volume) : job_(job), volume_(std::move(volume)) {}

  Outcome<void> prepare(const EntryList& entries, const EntriesEnd& announced, const Tick& tick) override {
    if (announced.live)
      return failed(protocol_error("the peer's source is in use; a tree is only made like one at rest"));
    entries_ = &entries;
    if (auto checked = check_attributes(entries); !checked) return checked;
    if (!job_.keystone.empty()) {
      auto keystone = Keystone::find(entries, job_.keystone);
      if (!keystone) return failed(keystone.error());
      volume_->keystone = std::move(*keystone);
    }
    if (auto checked = check_space(tick); !checked) return checked;
    return job_.compare_only ? settle(tick) : change(tick);
  }

  [[nodiscard]] bool only_looks() const override { return job_.compare_only; }

  std::unique_ptr<SinkThread> thread() override {
    if (job_.compare_only) return std::make_unique<ComparingThread>(*volume_, *entries_);
    return std::make_unique<ChangingThread>(*volume_, *entries_);
  }

  Outcome<void> restate(std::uint32_t) override { return failed(protocol_error("a file at rest cannot have changed")); }
  Outcome<void> leave_out(std::uint32_t) override { return restate(0); }

  Outcome<void> finish(const Changes&, const CopyData&, const Tick& tick) override {
    flush();
    if (job_.compare_only) return {};
    if (auto linked = link_names(*entries_, data(), tick); !linked) return linked;
    const Node& root = (*entries_)[0];
    for (const FinishFile& file : job_.files)
      if (auto written = write_finish_file(-1, data(), root.uid, root.gid, file); !written) return written;
    if (auto dressed = dress_directories(*entries_, data(), tick); !dressed) return dressed;
    if (auto synced = sync_file_system(data(), tick); !synced) return synced;
    if (volume_->keystone)
      if (auto put = volume_->keystone->put(*entries_, data(), request()); !put) return put;
    for (const char* spent : {kKeystoneName, kNewKeystoneName, kHashesName})
      if (::unlinkat(request(), spent, 0) != 0 && errno != ENOENT) return failed_call(errno, "remove {}", spent);
    return {};
  }

  void abandon() override { flush(); }
  void tell(CopyData&) const override {}

  [[nodiscard]] std::uint64_t free_bytes() const override {
    struct statvfs status {};
    if (::fstatvfs(data(), &status) != 0) return 0;
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }

 private:
  [[nodiscard]] int data() const { return volume_->data.get(); }
  [[nodiscard]] int request() const { return volume_->place.request.get(); }

  void flush() {
    volume_->journal.flush();
    volume_->hashes.flush();
  }

  /// Writes back what is dirty, so that every later change of a mapped page shows in its file's times.
  Outcome<void> settle(const Tick& tick) {
    volume_->settled = Settled::before_now(data(), kSettledSeconds);
    return sync_file_system(data(), tick);
  }

  /// NoSpace if the source's files take so much more than what lies there. Touches nothing.
  Outcome<void> check_space(const Tick& tick) const {
    std::uint64_t needed = 0, present = 0;
    DirectoryCursor directories(*entries_, data());
    for (std::uint32_t id = 0; id < entries_->size(); ++id) {
      if ((*entries_)[id].type == EntryType::File) needed += rounded_up(entries_->data_bytes_of(id));
      if ((*entries_)[id].type != EntryType::Directory) continue;
      const auto directory = directories.enter(id);
      if (!directory && directory.error().reason == "MountPoint") return failed(directory.error());
      if (!directory) continue;
      if (auto counted = count_present(id, *directory, present, tick); !counted) return counted;
    }
    struct statvfs status {};
    if (::fstatvfs(data(), &status) != 0) return failed_call(errno, "ask for free space");
    const bool told = status.f_blocks > 0;  // not by file systems in memory without a limit
    if (!told || needed <= present || needed - present <= free_bytes()) return {};
    return failed("NoSpace",
                  fmt::format("the volume grows by {} bytes and has {} free", needed - present, free_bytes()),
                  "free space on the target and run the step again; nothing was touched");
  }

  Outcome<void> count_present(std::uint32_t id, int directory, std::uint64_t& present, const Tick& tick) const {
    const auto names = names_in(directory);
    if (!names) return failed(names.error());
    for (const std::string& name : *names) {
      if (auto go_on = tick(); !go_on) return go_on;
      const std::uint32_t child = entries_->find(id, name);
      const bool entered_later = child != 0 && (*entries_)[child].type == EntryType::Directory;
      if (auto counted = count_one(directory, name, entered_later, present, tick); !counted) return counted;
    }
    return {};
  }

  /// What lies at a name, with everything below it where that will be removed with it.
  Outcome<void> count_one(int at, const std::string& name, bool entered_later, std::uint64_t& present,
                          const Tick& tick) const {
    const auto status = status_of(at, name);
    if (!status) return failed(status.error());
    if (!*status) return {};
    if (S_ISREG((*status)->st_mode)) present += allocated_of(**status) / (*status)->st_nlink;
    if (!S_ISDIR((*status)->st_mode) || entered_later) return {};
    const auto directory = open_below(at, name.c_str());
    if (!directory) return failed(directory.error());
    const auto names = names_in(directory->get());
    if (!names) return failed(names.error());
    for (const std::string& below : *names) {
      if (auto go_on = tick(); !go_on) return go_on;
      if (auto counted = count_one(directory->get(), below, false, present, tick); !counted) return counted;
    }
    return {};
  }

  /// From here on the tree is neither the old nor the new one. What the source does not have goes first: its room may
  /// be needed, and a run that is cut off leaves a mixture in any order.
  Outcome<void> change(const Tick& tick) {
    if (volume_->keystone)
      if (auto aside = volume_->keystone->set_aside(data(), request()); !aside) return aside;
    DirectoryCursor directories(*entries_, data());
    for (std::uint32_t id = 0; id < entries_->size(); ++id) {
      if ((*entries_)[id].type != EntryType::Directory) continue;
      const auto directory = directories.enter(id);
      if (!directory) return failed(directory.error());
      if (auto cleared = clear_directory(id, *directory, tick); !cleared) return cleared;
      for (const std::uint32_t child : entries_->children_of(id))
        if (auto made = make_child(child, *directory, tick); !made) return made;
    }
    return volume_->links.take_apart(*entries_, data(), tick);
  }

  Outcome<void> clear_directory(std::uint32_t id, int directory, const Tick& tick) {
    return remove_strangers(
        *entries_, id, directory, tick, [&](std::uint32_t child, const struct stat& status) -> Outcome<void> {
          const Node& entry = (*entries_)[child];
          if (entry.type != EntryType::File && entry.type != EntryType::HardLink) return {};
          if (status.st_nlink > 1) {
            volume_->links.note(child, status);
          } else if (entry.type == EntryType::HardLink && ::unlinkat(directory, entry.name_bytes, 0) != 0) {
            return failed_call(errno, "remove {}", entries_->path_of(child));  // a file of its own cannot be a name
          }
          return {};
        });
  }

  Outcome<void> make_child(std::uint32_t id, int directory, const Tick& tick) {
    const Node& entry = (*entries_)[id];
    if (auto go_on = tick(); !go_on) return go_on;
    if (entry.type == EntryType::File || entry.type == EntryType::HardLink) return {};
    if (entry.type != EntryType::Directory) return make_special(*entries_, id, directory);
    if (::mkdirat(directory, entry.name_bytes, 0700) != 0 && errno != EEXIST)
      return failed_call(errno, "make directory {}", entries_->path_of(id));
    return {};
  }

  const InPlace job_;
  std::unique_ptr<Volume> volume_;
  const EntryList* entries_ = nullptr;
};

}  // namespace

Outcome<std::unique_ptr<Sink>> open_in_place_sink(const InPlace& job) {
  auto place = make_place(job.volume);
  if (!place) return failed(place.error());
  const auto there = place->data();
  if (!there) return failed(there.error());
  if (!*there)
    return failed("NotFound", fmt::format("the volume has no {}", kDataName), "check that the volume still exists");
  auto data = open_directory(place->parent.get(), std::string(kDataName));
  if (!data) return failed(data.error());
  const auto root = status_of(data->get());
  if (!root) return failed(root.error());
  auto hashes = HashFile::open(place->request.get(), root->st_ino);
  if (!hashes) return failed(hashes.error());
  auto journal = Journal::open(place->request.get(), kInPlaceJournalName, root->st_ino);
  if (!journal) return failed(journal.error());
  const bool tells = tells_changes(data->get());
  auto volume = std::make_unique<Volume>(
      Volume{std::move(*place), std::move(*data), std::move(*hashes), std::move(*journal), tells, {}, {}, {}});
  return std::make_unique<InPlaceSink>(job, std::move(volume));
}

}  // namespace roadstead::mover
