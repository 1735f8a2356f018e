#include "operator/adapters/files/manifest_tree.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <system_error>

#include "operator/base/log.h"

namespace roadstead::files {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kEndings = {".yaml", ".yml", ".json"};

class Walk {
 public:
  explicit Walk(const fs::path& root) : root_(root) {}

  std::error_code visit(const fs::path& directory) {
    std::error_code error;
    // A directory reached twice, through a symlink perhaps, is one directory.
    if (!seen_.insert(fs::canonical(directory, error)).second || error) return error;
    fs::directory_iterator entries(directory, error);
    if (error) return error;
    tree.directories.push_back(directory);
    for (const fs::directory_iterator end; entries != end; entries.increment(error)) {
      if (error) return error;
      look_at(entries->path());
    }
    return {};
  }

  ManifestTree tree;

 private:
  void look_at(const fs::path& path) {
    if (path.filename().string().starts_with('.')) return;
    std::error_code error;
    if (fs::is_directory(path, error)) {
      if (const std::error_code unreadable = visit(path))
        log_warning("a manifest directory cannot be read",
                    {{"directory", path.string()}, {"error", unreadable.message()}});
      return;
    }
    // Whatever else carries the name is told about when it is read.
    if (std::find(kEndings.begin(), kEndings.end(), path.extension().string()) != kEndings.end())
      tree.files.push_back(path.lexically_relative(root_).string());
  }

  const fs::path& root_;
  std::set<fs::path> seen_;
};

}  // namespace

Result<ManifestTree> find_manifests(const fs::path& root) {
  Walk walk(root);
  if (const std::error_code error = walk.visit(root))
    return fail(error == std::errc::no_such_file_or_directory ? ErrorKind::NotFound : ErrorKind::Unavailable,
                "manifest directory {}: {}", root.string(), error.message());
  std::sort(walk.tree.files.begin(), walk.tree.files.end());
  return std::move(walk.tree);
}

}  // namespace roadstead::files
