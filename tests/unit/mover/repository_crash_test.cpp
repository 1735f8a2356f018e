// Random histories of backups, retentions and verifications, each cut off at a random system call by a kill, a loss of
// power or a full disk, against a model that keeps every snapshot whole.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <map>
#include <optional>
#include <random>
#include <set>

#include "mover/repository/upkeep.h"
#include "repository_support.h"

namespace {

enum class End { None, Kill, PowerLoss, DiskFull };

/// What happens to the calls that change something, which this program answers itself.
struct Fate {
  End end = End::None;
  int after = 0;  ///< So many calls go well.
  std::mt19937_64 random{1};
  bool struck = false;

  // For a loss of power: what the disk does not have yet.
  struct Renamed {
    ino_t directory = 0;
    std::string from, to;
  };
  struct Removed {
    ino_t directory = 0;
    std::string path, kept;
  };
  std::map<ino_t, int> written;
  std::vector<Renamed> renamed;
  std::vector<Removed> removed;
  std::string stash;  ///< Where removed files are kept.
} fate;

ino_t inode_of_fd(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::string path_at(int directory, const char* name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

std::string real_path_at(int directory, const char* name) {
  std::array<char, 4096> buffer{};
  const auto n = ::readlink(("/proc/self/fd/" + std::to_string(directory)).c_str(), buffer.data(), buffer.size());
  return std::string(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))) + "/" + name;
}

/// The disk forgets, by chance, what it was not told to keep.
void lose_power() {
  const auto chance = [] { return fate.random() % 2 == 0; };
  for (auto [inode, fd] : fate.written) {
    struct stat status {};
    ::fstat(fd, &status);
    if (status.st_size == 0 || chance()) continue;
    const auto from = static_cast<off_t>(fate.random() % static_cast<std::uint64_t>(status.st_size));
    const std::string zeros(static_cast<std::size_t>(status.st_size - from), '\0');
    ::syscall(SYS_pwrite64, fd, zeros.data(), zeros.size(), from);
  }
  for (auto one = fate.renamed.rbegin(); one != fate.renamed.rend(); ++one)
    if (chance()) ::syscall(SYS_rename, one->to.c_str(), one->from.c_str());
  for (const Fate::Removed& one : fate.removed)
    if (chance()) ::syscall(SYS_rename, one.kept.c_str(), one.path.c_str());
}

/// True: the call must fail with ENOSPC.
bool strikes() {
  if (fate.end == End::None || fate.after-- > 0) return false;
  fate.struck = true;
  if (fate.end == End::DiskFull) return true;
  if (fate.end == End::PowerLoss) lose_power();
  ::_exit(9);
}

void note_written(int fd) {
  if (fate.end != End::PowerLoss) return;
  const ino_t inode = inode_of_fd(fd);
  if (!fate.written.contains(inode)) fate.written[inode] = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int full() {
  errno = ENOSPC;
  return -1;
}

}  // namespace

// These take the place of the C library's in this program.
extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (strikes()) return full();
  note_written(fd);
  // A kill may find half of it done.
  const bool last = fate.end == End::Kill && fate.after == 0;
  return ::syscall(SYS_pwrite64, fd, data, last ? (size + 1) / 2 : size, offset);
}

ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  ssize_t done = 0;
  for (int i = 0; i < count; ++i) {
    if (pieces[i].iov_len == 0) continue;
    const ssize_t n = pwrite(fd, pieces[i].iov_base, pieces[i].iov_len, offset + done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (static_cast<std::size_t>(n) < pieces[i].iov_len) break;
  }
  return done;
}

int fsync(int fd) {
  if (strikes()) return full();
  const ino_t inode = inode_of_fd(fd);
  if (const auto found = fate.written.find(inode); found != fate.written.end()) {
    ::close(found->second);
    fate.written.erase(found);
  }
  std::erase_if(fate.renamed, [&](const Fate::Renamed& one) { return one.directory == inode; });
  std::erase_if(fate.removed, [&](const Fate::Removed& one) { return one.directory == inode; });
  return 0;
}

int ftruncate(int fd, off_t size) noexcept {
  if (strikes()) return full();
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  if (strikes()) return full();
  // What is replaced cannot be brought back here: those are written whole either way.
  const bool replaces = ::access(path_at(to_directory, to).c_str(), F_OK) == 0;
  if (fate.end == End::PowerLoss && !replaces)
    fate.renamed.push_back(
        {inode_of_fd(to_directory), real_path_at(from_directory, from), real_path_at(to_directory, to)});
  return static_cast<int>(::syscall(SYS_renameat, from_directory, from, to_directory, to));
}

int unlinkat(int directory, const char* name, int flags) noexcept {
  if (strikes()) return full();
  if (fate.end == End::PowerLoss && flags == 0 && ::access(path_at(directory, name).c_str(), F_OK) == 0) {
    const std::string kept = fate.stash + "/" + std::to_string(fate.removed.size());
    ::link(real_path_at(directory, name).c_str(), kept.c_str());
    fate.removed.push_back({inode_of_fd(directory), real_path_at(directory, name), kept});
  }
  return static_cast<int>(::syscall(SYS_unlinkat, directory, name, flags));
}

}  // extern "C"

namespace roadstead::mover {
namespace {

using namespace testing;

/// Runs `work` in a child that may be cut off; true where it came to its end.
template <class Work>
bool run(End end, int after, std::uint64_t seed, const std::string& stash, Work work) {
  if (end == End::None || end == End::DiskFull) {
    fate = {};
    fate.end = end;
    fate.after = after;
    const bool done = work();
    const bool struck = fate.struck;
    fate = {};
    EXPECT_TRUE(done || struck);
    return done;
  }
  const pid_t child = ::fork();
  if (child == 0) {
    fate = {};
    fate.end = end;
    fate.after = after;
    fate.random.seed(seed);
    fate.stash = stash;
    const bool done = work();
    if (end == End::PowerLoss) lose_power();  // what is done is durable
    ::_exit(done ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 1) << "the work failed by itself: " << status;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {
    fs::create_directories(stash_);
    fs::create_directories(path_);
  }

  void step() {
    const End end = random_() % 3 == 0 ? End::None : static_cast<End>(1 + random_() % 3);
    const int after = static_cast<int>(random_() % 16);
    switch (random_() % 8) {
      case 0:
      case 1:
        forget(end, after);
        break;
      case 2:
        verify(end, after);
        break;
      default:
        back_up(end, after);
    }
    for (const auto& left : fs::directory_iterator(stash_)) fs::remove(left);
  }

  [[nodiscard]] int cut_off() const { return cut_off_; }

 private:
  /// A few files of the last backup are others, or gone.
  void change() {
    for (int i = 0; i < 3; ++i) {
      const std::string name = std::to_string(random_() % 12);
      if (random_() % 4 == 0)
        now_.erase(name);
      else if (now_[name].size() > 8 * kPiece && random_() % 8 != 0)
        now_[name][random_() % now_[name].size()] ^= 1;
      else
        now_[name] =
            noise(random_() % (random_() % 3 == 0 ? 1'200'000 : 20'000), static_cast<unsigned>(random_() % 40));
    }
  }

  void back_up(End end, int after) {
    const Content before = now_;
    change();
    const std::string id = fmt::format("s{}", next_++);
    const bool done = cut(run(end, after, random_(), stash_, [&] {
      auto repository = Repository::open(path_, Use::Write);
      return repository && testing::back_up(*repository, id, now_, before).has_value();
    }));
    expect_whole({}, {{id, now_}});
    EXPECT_TRUE(!done || snapshots_.contains(id));
  }

  void forget(End end, int after) {
    std::vector<std::string> ids;
    std::map<std::string, Content> going;
    for (const auto& [id, content] : snapshots_)
      if (random_() % 3 == 0) {
        ids.push_back(id);
        going[id] = content;
      }
    if (!fs::exists(path_ + "/format")) return;
    const bool done = cut(run(end, after, random_(), stash_, [&] {
      return mover::forget({path_, ids, false}, {}).has_value();
    }));
    expect_whole(going, {});
    if (!done) return;
    for (const std::string& id : ids) EXPECT_FALSE(snapshots_.contains(id));
    expect_swept();
  }

  void verify(End end, int after) {
    if (!fs::exists(path_ + "/format")) return;
    cut(run(end, after, random_(), stash_, [&] {
      Meter meter;
      const auto data = mover::verify({path_, static_cast<std::uint32_t>(random_() % 3), 3}, {}, meter);
      return data && data->damaged + data->missing == 0 && data->damage.empty();
    }));
    expect_whole({}, {});
  }

  bool cut(bool done) {
    cut_off_ += done ? 0 : 1;
    return done;
  }

  /// All snapshots of the model are there and whole; those that may have gone or come are gone, or whole.
  void expect_whole(const std::map<std::string, Content>& may_be_gone, const std::map<std::string, Content>& may_be) {
    if (!fs::exists(path_ + "/format")) {
      EXPECT_TRUE(snapshots_.empty());
      return;
    }
    const Repository repository = opened(path_, Use::Read);
    const SnapshotList list = must(list_snapshots(repository.directory()));
    EXPECT_TRUE(list.unreadable.empty());
    std::map<std::string, Content> all = snapshots_;
    all.insert(may_be.begin(), may_be.end());
    std::map<std::string, Content> there;
    for (const SnapshotSeen& seen : list.snapshots) {
      ASSERT_TRUE(all.contains(seen.id)) << seen.id << " came from nowhere";
      const auto content = restored(repository, seen.id);
      ASSERT_TRUE(content) << content.error().message;
      EXPECT_EQ(*content, all[seen.id]) << seen.id;
      there[seen.id] = all[seen.id];
    }
    for (const auto& [id, content] : snapshots_)
      EXPECT_TRUE(there.contains(id) || may_be_gone.contains(id)) << id << " is lost";
    snapshots_ = std::move(there);
  }

  /// No pack is dead, none is more dead than alive, but for those of a backup that has not ended.
  void expect_swept() {
    const Repository repository = opened(path_, Use::Read);
    std::set<Digest> needed;
    for (const auto& [id, content] : snapshots_)
      for (const auto& [name, bytes] : content)
        for (const auto& [digest, piece] : testing::extents_of(bytes)) needed.insert(digest);
    auto newest = fs::file_time_type::min();
    for (const auto& [id, content] : snapshots_)
      newest = std::max(newest, fs::last_write_time(path_ + "/snapshots/" + id));
    if (snapshots_.empty()) return;
    add_bases(repository, needed);
    for (const PackSeen& pack : repository.packs()) {
      const fs::path file = path_ + "/packs/" + name_of(pack.id);
      if (fs::last_write_time(file) > newest) continue;
      std::uint64_t live = 0, dead = 0;
      const Fd open = must(open_pack(repository.directory(), pack.id));
      for (const PackedExtent& extent : mover::extents_of(open.get(), pack))
        (needed.contains(extent.name) ? live : dead) += extent.record_bytes();
      EXPECT_GE(live, dead);
      EXPECT_GT(live, 0U);
    }
  }

  static void add_bases(const Repository& repository, std::set<Digest>& needed) {
    std::set<Digest> bases;
    for (const PackSeen& pack : repository.packs())
      for (const PackedExtent& extent : mover::extents_of(must(open_pack(repository.directory(), pack.id)).get(), pack))
        if (is_patch(extent.codec) && needed.contains(extent.name)) bases.insert(extent.base);
    needed.merge(bases);
  }

  Scratch scratch_;
  std::string path_ = (scratch_ / "repository").string();
  std::string stash_ = (scratch_ / "stash").string();
  std::mt19937_64 random_;
  Content now_;
  std::map<std::string, Content> snapshots_;  ///< The model.
  int next_ = 0;
  int cut_off_ = 0;
};

TEST(Crash, WhateverIsCutOffWhereverEverySnapshotStaysWhole) {
  int cut_off = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    History history(seed);
    for (int i = 0; i < 50 && !HasFailure(); ++i) history.step();
    cut_off += history.cut_off();
  }
  EXPECT_GT(cut_off, 80);
}

/// One sweep that removes a snapshot and a pack and writes a pack anew, cut off at its call number `after`; false where
/// it came to its end before.
bool sweep_cut_off_at(int after, std::uint64_t seed) {
  const Scratch scratch;
  const std::string path = (scratch / "repository").string(), stash = (scratch / "stash").string();
  fs::create_directories(path);
  fs::create_directories(stash);
  const std::string shared = noise(50'000, 1);
  const std::map<std::string, Content> contents = {
      {"going", {{"shared", shared}, {"dead", noise(200'000, 2)}}},
      {"staying", {{"shared", shared}, {"own", noise(1000, 3)}}},
  };
  const auto back_up_one = [&](const std::string& id, const Content& content) {
    Repository repository = opened(path, Use::Write);
    must(back_up(repository, id, content));
  };
  back_up_one("going", contents.at("going"));
  back_up_one("dead", {{"dead pack", noise(1000, 4)}});
  back_up_one("staying", contents.at("staying"));
  const bool done = run(End::PowerLoss, after, seed, stash, [&] {
    return forget({path, {"going", "dead"}, false}, {}).has_value();
  });
  const Repository repository = opened(path, Use::Read);
  const SnapshotList list = must(list_snapshots(repository.directory()));
  EXPECT_TRUE(list.unreadable.empty());
  bool stayed = false;
  for (const SnapshotSeen& seen : list.snapshots) {
    const auto content = restored(repository, seen.id);
    EXPECT_TRUE(content) << after << ": " << content.error().message;
    if (content && contents.contains(seen.id)) {
      EXPECT_EQ(*content, contents.at(seen.id));
    }
    stayed = stayed || seen.id == "staying";
  }
  EXPECT_TRUE(stayed) << after;
  EXPECT_TRUE(!done || list.snapshots.size() == 1U) << after;
  return !done;
}

TEST(Crash, ASweepThatLosesPowerAtAnyCallLosesNothing) {
  int after = 0;
  for (bool cut = true; cut && !HasFailure(); ++after) {
    cut = false;
    for (std::uint64_t seed = 0; seed < 6; ++seed) cut = sweep_cut_off_at(after, seed) || cut;
  }
  EXPECT_GT(after, 12);
}

/// A mark that is made, or taken away, cut off at its call number `after`; false where it came to its end before.
bool mark_cut_off_at(int after, End end, bool released) {
  const Scratch scratch;
  const std::string path = (scratch / "repository").string(), stash = (scratch / "stash").string();
  fs::create_directories(path);
  fs::create_directories(stash);
  for (const char* id : {"a", "b"}) {
    Repository repository = opened(path, Use::Write);
    must(back_up(repository, id, {{"f", noise(1000, 1)}}));
  }
  must(keep({path, {"b"}, {}}));
  if (released) must(keep({path, {"a"}, {}}));
  const Keep job = released ? Keep{path, {}, {"a"}} : Keep{path, {"a"}, {}};
  const bool done = run(end, after, static_cast<std::uint64_t>(after), stash, [&] { return keep(job).has_value(); });
  const auto marked = [&] { return must(must(RepositoryDirectory::open(path, Use::Read)).kept()); };
  const std::vector<std::string> both = {"a", "b"}, one = {"b"};
  const auto now = marked();
  EXPECT_TRUE(now == both || now == one) << after;
  if (done) {
    EXPECT_EQ(now, released ? one : both) << "it said that it was done: " << after;
  }
  const auto refused = forget({path, {"b"}, false}, {});
  EXPECT_TRUE(!refused && refused.error().reason == "Kept") << after;
  EXPECT_TRUE(keep(job)) << after;
  EXPECT_EQ(marked(), released ? one : both) << after;
  return !done;
}

TEST(Crash, AMarkThatIsCutOffAtAnyCallIsThereOrNotAndTheOthersStay) {
  for (const End end : {End::Kill, End::PowerLoss, End::DiskFull})
    for (const bool released : {false, true}) {
      int after = 0;
      while (mark_cut_off_at(after, end, released) && !::testing::Test::HasFailure()) ++after;
      EXPECT_GE(after, released ? 2 : 3);
    }
}

}  // namespace
}  // namespace roadstead::mover
