#include "operator/cli/manifests.h"

#include <algorithm>
#include <filesystem>

#include "operator/base/file.h"

namespace roadstead::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::streamsize kMostBytes = std::streamsize{3} << 20;  // the reader's own limit; more is not even read

std::string read_stream(std::istream& in) {
  std::string text(static_cast<std::size_t>(kMostBytes) + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

template <class Iterator>
void collect(Iterator entries, std::vector<std::string>& into) {
  for (const fs::directory_entry& entry : entries)
    if (entry.is_regular_file() && is_manifest(entry.path())) into.push_back(entry.path().string());
}

Result<std::vector<std::string>> files_of(const std::string& path, bool recursive) {
  std::error_code error;
  if (path == "-" || !fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  try {
    if (recursive)
      collect(fs::recursive_directory_iterator(path), files);
    else
      collect(fs::directory_iterator(path), files);
  } catch (const fs::filesystem_error& failed) {
    return fail(ErrorKind::Forbidden, "the directory \"{}\" cannot be read: {}", path, failed.code().message());
  }
  if (files.empty()) return fail(ErrorKind::Invalid, "the directory \"{}\" holds no *.yaml, *.yml or *.json", path);
  std::sort(files.begin(), files.end());
  return files;
}

Result<void> judge_file(const std::string& file, const crds::Catalog& catalog, std::istream& in, ReadManifests& into) {
  const auto text =
      file == "-" ? Result<std::string>(read_stream(in)) : read_file(file, static_cast<std::size_t>(kMostBytes));
  if (!text) return tl::unexpected(text.error());
  const std::string shown = file == "-" ? "standard input" : file;
  auto judged = crds::validate_manifests(*text, shown, catalog);
  into.files.emplace_back(file, judged.objects.size());
  for (crds::Manifest& manifest : judged.objects)
    into.objects.push_back({std::move(manifest.object), fmt::format("{}:{}", shown, manifest.line)});
  std::move(judged.problems.begin(), judged.problems.end(), std::back_inserter(into.problems));
  return {};
}

}  // namespace

std::string ReadObject::metadata(const char* field) const {
  const nlohmann::json& all = object.at("metadata");
  const auto found = all.find(field);
  return found != all.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<ReadManifests> read_all(const std::vector<std::string>& paths, bool recursive, std::istream& in) {
  const auto catalog = crds::builtin_catalog();
  if (!catalog) return tl::unexpected(catalog.error());
  ReadManifests all;
  for (const std::string& path : paths) {
    const auto files = files_of(path, recursive);
    if (!files) return tl::unexpected(files.error());
    for (const std::string& file : *files)
      if (auto read = judge_file(file, *catalog, in, all); !read) return tl::unexpected(read.error());
  }
  return all;
}

}  // namespace roadstead::cli
