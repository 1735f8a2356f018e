#include "operator/adapters/docker/tar.h"

#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <memory>
#include <optional>

namespace roadstead::docker {
namespace {

using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;
using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

Result<void> check_path(const std::string& path) {
  const bool climbs = ("/" + path + "/").find("/../") != std::string::npos;
  if (path.empty() || path.front() == '/' || climbs || path.find('\0') != std::string::npos)
    return fail(ErrorKind::Invalid, "archive entry \"{}\": the path must be relative and stay below its directory",
                path);
  return {};
}

tl::unexpected<Error> broken(archive* what) {
  const char* why = archive_error_string(what);
  return fail(ErrorKind::Invalid, "tar archive: {}", why ? why : "cannot be read");
}

Result<void> write_entry(archive* writer, const ArchiveFile& file) {
  if (auto ok = check_path(file.path); !ok) return ok;
  const Entry entry(archive_entry_new(), &archive_entry_free);
  archive_entry_set_pathname(entry.get(), file.path.c_str());
  archive_entry_set_filetype(entry.get(), file.directory ? AE_IFDIR : AE_IFREG);
  archive_entry_set_perm(entry.get(), file.mode & 07777);
  archive_entry_set_uid(entry.get(), file.uid);
  archive_entry_set_gid(entry.get(), file.gid);
  archive_entry_set_size(entry.get(), file.directory ? 0 : static_cast<la_int64_t>(file.content.size()));
  archive_entry_set_mtime(entry.get(), 0, 0);
  if (archive_write_header(writer, entry.get()) != ARCHIVE_OK) return broken(writer);
  if (file.directory || file.content.empty()) return {};
  if (archive_write_data(writer, file.content.data(), file.content.size()) < 0) return broken(writer);
  return {};
}

/// What libarchive's read callback needs, and what it must not forget.
struct Feed {
  const ByteSource& source;
  std::optional<Error> error;
};

la_ssize_t read_piece(archive*, void* data, const void** piece) {
  auto& feed = *static_cast<Feed*>(data);
  auto got = feed.source();
  if (!got) {
    feed.error = got.error();
    return ARCHIVE_FATAL;
  }
  *piece = got->data();
  return static_cast<la_ssize_t>(got->size());
}

/// The "C" locale cannot say names beyond ASCII: they are asked for as UTF-8.
std::string path_of(archive_entry* entry) {
  if (const char* path = archive_entry_pathname_utf8(entry)) return path;
  if (const char* path = archive_entry_pathname(entry)) return path;
  return {};
}

}  // namespace

Result<std::string> make_tar(std::span<const ArchiveFile> files) {
  std::string tar;
  const auto append = [](archive*, void* into, const void* data, std::size_t size) {
    static_cast<std::string*>(into)->append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  };
  const Writer writer(archive_write_new(), &archive_write_free);
  // GNU tar keeps names as they are; pax would translate them from the locale.
  archive_write_set_format_gnutar(writer.get());
  if (archive_write_open(writer.get(), &tar, nullptr, +append, nullptr) != ARCHIVE_OK) return broken(writer.get());
  for (const auto& file : files)
    if (auto written = write_entry(writer.get(), file); !written) return tl::unexpected(written.error());
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return broken(writer.get());
  return tar;
}

Result<std::vector<ArchiveFile>> read_tar(const ByteSource& source, std::size_t at_most) {
  Feed feed{source, std::nullopt};
  const Reader reader(archive_read_new(), &archive_read_free);
  archive_read_support_format_tar(reader.get());
  const auto failed = [&]() -> tl::unexpected<Error> {
    return feed.error ? tl::unexpected(*feed.error) : broken(reader.get());
  };
  if (archive_read_open(reader.get(), &feed, nullptr, &read_piece, nullptr) < ARCHIVE_WARN) return failed();

  std::vector<ArchiveFile> files;
  std::size_t total = 0;
  archive_entry* entry = nullptr;
  for (;;) {
    const int next = archive_read_next_header(reader.get(), &entry);
    if (next == ARCHIVE_EOF) return files;
    if (next < ARCHIVE_WARN) return failed();
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) continue;
    ArchiveFile file{path_of(entry),
                     {},
                     archive_entry_perm(entry),
                     static_cast<std::uint32_t>(archive_entry_uid(entry)),
                     static_cast<std::uint32_t>(archive_entry_gid(entry)),
                     false};
    std::array<char, std::size_t{16} << 10> piece;
    for (;;) {
      const auto got = archive_read_data(reader.get(), piece.data(), piece.size());
      if (got < 0) return failed();
      if (got == 0) break;
      total += static_cast<std::size_t>(got);
      if (total > at_most) return fail(ErrorKind::Invalid, "archive: more than {} bytes of files", at_most);
      file.content.append(piece.data(), static_cast<std::size_t>(got));
    }
    files.push_back(std::move(file));
  }
}

}  // namespace roadstead::docker
