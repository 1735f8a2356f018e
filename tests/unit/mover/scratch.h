#pragma once

// A temporary directory, trees to copy, and a comparison that looks at everything a copy must keep.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>

namespace roadstead::mover::testing {

namespace fs = std::filesystem;

/// As the program: a peer that has gone is heard of by an error.
[[maybe_unused]] inline const auto kNoPipeSignal = ::signal(SIGPIPE, SIG_IGN);

/// Gone with everything in it at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "roadstead-mover-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] fs::path operator/(const fs::path& name) const { return path_ / name; }
  [[nodiscard]] std::string str() const { return path_.string(); }

 private:
  fs::path path_;
};

inline void write_file(const fs::path& path, std::string_view content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

inline std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  std::string content(static_cast<std::size_t>(file.tellg()), '\0');
  file.seekg(0).read(content.data(), static_cast<std::streamsize>(content.size()));
  return content;
}

/// Bytes that do not compress and are the same for the same seed.
inline std::string noise(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size + 8, '\0');
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t value = random();
    std::memcpy(bytes.data() + i, &value, 8);
  }
  bytes.resize(size);
  return bytes;
}

inline void set_time(const fs::path& path, time_t seconds, long nanos) {
  const std::array<timespec, 2> times{timespec{seconds, nanos}, timespec{seconds, nanos}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), 0);
}

inline std::uint64_t inode_of(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

/// A file of `size` bytes with `text` at each offset and holes elsewhere.
inline void write_sparse(const fs::path& path, std::uint64_t size, std::initializer_list<std::uint64_t> offsets,
                         std::string_view text) {
  fs::create_directories(path.parent_path());
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  for (const std::uint64_t offset : offsets)
    EXPECT_EQ(::pwrite(fd, text.data(), text.size(), static_cast<off_t>(offset)), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
  ::close(fd);
}

/// A tree with one of everything that a copy keeps.
inline void make_tree(const fs::path& root) {
  fs::create_directories(root / "base/16384");
  fs::create_directories(root / "empty/deep/er");
  write_file(root / "base/16384/1259", noise(3 * 1048576 + 12345, 1));  // several extents, the last one short
  write_file(root / "base/16384/exact", noise(2 * 1048576, 2));
  write_file(root / "base/16384/zeros", std::string(1500000, '\0'));  // data, not a hole
  write_file(root / "empty/file", "");
  write_file(root / "program", "#!/bin/sh\n");
  for (int i = 0; i < 150; ++i)
    write_file(root / "small" / std::to_string(i),
               noise(static_cast<std::size_t>(i * 7), 100U + static_cast<unsigned>(i)));
  write_file(root / std::string("not utf-8 \xff\xfe and a\nnewline"), "bytes");
  write_sparse(root / "sparse", 9 << 20, {0, 3 << 20, (7 << 20) + 5}, "data between holes");
  write_sparse(root / "all hole", 3 << 20, {}, "");
  fs::create_symlink("/etc/passwd", root / "absolute link");
  fs::create_symlink("../no/such/thing", root / "empty/dangling");
  fs::create_hard_link(root / "base/16384/exact", root / "empty/deep/exact again");
  fs::create_hard_link(root / "base/16384/exact", root / "exact third");
  ASSERT_EQ(::linkat(AT_FDCWD, (root / "absolute link").c_str(), AT_FDCWD, (root / "small/same link").c_str(), 0), 0);
  ASSERT_EQ(::lchown((root / "base").c_str(), 999, 998), 0);
  ASSERT_EQ(::lchown((root / "program").c_str(), 12, 34), 0);
  ASSERT_EQ(::lchown((root / "absolute link").c_str(), 5, 6), 0);
  ASSERT_EQ(::chmod((root / "program").c_str(), 06751), 0);
  ASSERT_EQ(::chmod((root / "base/16384/1259").c_str(), 0000), 0);
  ASSERT_EQ(::chmod((root / "base").c_str(), 0500), 0);
  ASSERT_EQ(::chmod(root.c_str(), 01750), 0);
  ASSERT_EQ(::lchown(root.c_str(), 70, 71), 0);
  set_time(root / "absolute link", 1000000001, 123456789);
  set_time(root / "base/16384/1259", 1000000002, 999999999);
  set_time(root / "small/5", -5, 1);  // before 1970
  set_time(root / "empty/deep", 1000000003, 7);
  set_time(root / "base", 1000000004, 8);
  set_time(root, 1000000005, 9);
}

/// An access ACL as the kernel keeps it: user 1000 may do what `bits` says, the mask is rwx.
inline std::string acl_for_user_1000(unsigned char bits) {
  std::string acl("\x02\0\0\0", 4);
  const auto add = [&](unsigned char tag, unsigned char permissions, std::uint32_t id) {
    acl += {static_cast<char>(tag), '\0', static_cast<char>(permissions), '\0'};
    for (int shift = 0; shift < 32; shift += 8) acl += static_cast<char>(id >> shift);
  };
  constexpr std::uint32_t kNobody = 0xffffffff;
  add(0x01, 6, kNobody);
  add(0x02, bits, 1000);
  add(0x04, 4, kNobody);
  add(0x10, 7, kNobody);
  add(0x20, 0, kNobody);
  return acl;
}

inline void set_attribute(const fs::path& path, const char* name, std::string_view value) {
  ASSERT_EQ(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0), 0) << path << " " << name;
}

/// What make_tree() leaves out: devices, FIFOs, attributes, ACLs, a capability.
inline void add_specials(const fs::path& root) {
  fs::create_directories(root / "special/inherits");
  ASSERT_EQ(::mkfifo((root / "special/fifo").c_str(), 0640), 0);
  ASSERT_EQ(::mknod((root / "special/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod((root / "special/disk").c_str(), S_IFBLK | 0660, makedev(7, 300)), 0);
  write_file(root / "special/file", "with attributes");
  write_file(root / "special/inherits/file", "without");
  fs::create_hard_link(root / "special/file", root / "special/same file");
  set_attribute(root / "special/file", "user.empty", "");
  set_attribute(root / "special/file", "user.bytes", std::string_view("\0\xff", 2));
  set_attribute(root / "special/file", "system.posix_acl_access", acl_for_user_1000(4));
  set_attribute(root / "special/fifo", "system.posix_acl_access", acl_for_user_1000(6));
  set_attribute(root / "special/null", "system.posix_acl_access", acl_for_user_1000(2));
  set_attribute(root / "special/inherits", "system.posix_acl_default", acl_for_user_1000(7));
  set_attribute(root / "special/inherits", "user.directory", "yes");
  set_attribute(root, "user.root", "too");
  set_attribute(root, "system.posix_acl_default", acl_for_user_1000(5));
  const std::string capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);  // net_bind_service, effective
  write_file(root / "special/capable", "#!");
  ASSERT_EQ(::lchown((root / "special/capable").c_str(), 3, 4), 0);
  set_attribute(root / "special/capable", "security.capability", capability);
  ASSERT_EQ(::lchown((root / "special/null").c_str(), 9, 10), 0);
  set_time(root / "special/null", 1000000006, 11);
  set_time(root / "special/fifo", -1, 12);
  set_time(root / "special/disk", 1000000007, 13);
}

/// Attributes, the volume's label left out.
inline std::string attributes_in(const fs::path& path) {
  std::string names(4096, '\0'), text;
  const ssize_t n = ::llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> sorted;
  for (ssize_t at = 0; at < n; at += static_cast<ssize_t>(std::strlen(names.data() + at)) + 1) {
    std::string value(65536, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), names.data() + at, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    sorted[names.data() + at] = value;
  }
  sorted.erase("security.selinux");
  for (const auto& [name, value] : sorted) {
    text += " " + name + "=";
    for (const char byte : value) text += "0123456789abcdef"[(byte >> 4) & 15], text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

/// Everything a copy must keep of a tree, one line per name, for one comparison with a readable difference.
inline std::map<std::string, std::string> snapshot(const fs::path& root) {
  std::map<std::string, std::string> lines;
  std::map<ino_t, std::string> first_name;
  const auto add = [&](const fs::path& path, const std::string& name) {
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0) return;
    std::ostringstream line;
    line << std::oct << s.st_mode << std::dec << " uid " << s.st_uid << " gid " << s.st_gid << " mtime "
         << s.st_mtim.tv_sec << "." << s.st_mtim.tv_nsec << attributes_in(path);
    if (S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode)) line << " device " << s.st_rdev;
    if (S_ISLNK(s.st_mode)) line << " -> " << fs::read_symlink(path).string();
    if (!S_ISDIR(s.st_mode))
      line << " links " << s.st_nlink << " same as " << first_name.try_emplace(s.st_ino, name).first->second;
    if (S_ISREG(s.st_mode)) {
      line << " size " << s.st_size << " content " << std::hash<std::string>{}(read_file(path));
      // Holes by the kernel's account of them, not by blocks, which a file system may use for itself.
      const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      for (off_t at = 0; at < s.st_size;) {
        const off_t data = ::lseek(fd, at, SEEK_DATA);
        if (data < 0) break;
        at = ::lseek(fd, data, SEEK_HOLE);
        line << " [" << data << "," << at << ")";
      }
      ::close(fd);
    }
    lines[name] = line.str();
  };
  add(root, ".");
  std::map<std::string, fs::path> sorted;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    sorted[entry.path().lexically_relative(root).string()] = entry.path();
  for (const auto& [name, path] : sorted) add(path, name);
  return lines;
}

}  // namespace roadstead::mover::testing
