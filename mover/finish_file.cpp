#include "mover/finish_file.h"

#include <fcntl.h>

#include "mover/files.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kFileLimit = std::size_t{16} << 20;  ///< Of a file that gets a managed block.
constexpr std::string_view kBegin = "# roadstead begin\n";
constexpr std::string_view kEnd = "# roadstead end\n";

/// Opens the directory of a relative path below `root` and leaves the last name in `name`.
Outcome<Fd> open_parent_of(int root, std::string_view path, std::string& name) {
  auto at = open_directory(root, ".");
  for (;;) {
    const std::size_t slash = path.find('/');
    name = path.substr(0, slash);
    if (name.empty() || name == "." || name == "..")
      return failed("InvalidJob", fmt::format("'{}' is no path below the tree", path), "correct the job");
    if (slash == std::string_view::npos || !at) return at;
    at = open_below(at->get(), name.c_str());
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Outcome<void> write_finish_file(int scratch, int tree, uid_t uid, gid_t gid, const FinishFile& file) {
  std::string name;
  const auto directory = open_parent_of(tree, file.path, name);
  if (!directory) return failed(directory.error());
  if (scratch < 0) scratch = directory->get();
  Ownership ownership{uid, gid, file.permissions};
  if (file.mode == WriteMode::Replace) return write_durably(scratch, directory->get(), name, file.content, ownership);
  std::string text;
  const Fd old(::openat(directory->get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!old && errno != ENOENT) return failed_call(errno, "open {}", file.path);
  if (old) {
    const auto status = status_of(old.get());
    if (!status) return failed(status.error());
    if (static_cast<std::uint64_t>(status->st_size) > kFileLimit)
      return failed("TooLarge", fmt::format("{} is too large for a managed block", file.path), "look at the file");
    auto content = content_of(old.get(), kFileLimit);
    if (!content) return failed(content.error());
    text = std::move(*content);
    ownership.mode = status->st_mode & 07777;
  }
  return write_durably(scratch, directory->get(), name, with_managed_block(text, file.content), ownership);
}

std::string with_managed_block(std::string_view text, std::string_view block) {
  std::string result(text);
  const std::size_t begin = result.find(kBegin);
  const std::size_t end = begin == std::string::npos ? begin : result.find(kEnd, begin);
  if (end != std::string::npos) result.erase(begin, end + kEnd.size() - begin);
  if (!result.empty() && result.back() != '\n') result += '\n';
  result += kBegin;
  result += block;
  if (!block.empty() && block.back() != '\n') result += '\n';
  return result += kEnd;
}

}  // namespace roadstead::mover
