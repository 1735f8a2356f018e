#include "operator/adapters/files/file_sync.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "operator/base/file.h"
#include "operator/base/hash.h"
#include "operator/base/log.h"
#include "operator/base/rfc3339.h"

namespace roadstead::files {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFileBytes = std::size_t{3} << 20;

WriteOptions as_files(bool dry_run) { return {.field_manager = std::string(kFieldManager), .dry_run = dry_run}; }

std::string annotation(const json& object, std::string_view name) {
  const auto found = object.find("metadata");
  if (found == object.end() || !found->contains("annotations")) return {};
  return found->at("annotations").value(std::string(name), std::string());
}

std::string uid_of(const json& object) { return object.at("metadata").value("uid", std::string()); }

ObjectKey key_of(const crds::Manifest& manifest) {
  const json& metadata = manifest.object.at("metadata");
  if (manifest.crd->scope == crds::Scope::Cluster)
    return {manifest.crd->kind, "", metadata.value("name", std::string())};
  std::string ns = metadata.value("namespace", std::string());
  return {manifest.crd->kind, ns.empty() ? "default" : ns, metadata.value("name", std::string())};
}

ObjectKey key_of(const json& object) {
  const json& metadata = object.at("metadata");
  return {object.at("kind"), metadata.value("namespace", std::string()), metadata.at("name")};
}

std::string hash_of(const json& object) { return sha256_hex(object.dump()).substr(0, 16); }

/// The document as it is applied: with where it came from.
json marked(const crds::Manifest& manifest, const std::string& file) {
  json object = manifest.object;
  json& metadata = object["metadata"];
  metadata["labels"][std::string(kSourceLabel)] = kSourceLabelValue;
  metadata["annotations"][std::string(kSourceFile)] = file;
  metadata["annotations"][std::string(kSourceHash)] = hash_of(manifest.object);
  return object;
}

bool defines(const crds::ManifestFile& file, const ObjectKey& key) {
  return std::any_of(file.objects.begin(), file.objects.end(),
                     [&](const crds::Manifest& manifest) { return key_of(manifest) == key; });
}

/// A file has no object of its own: its events stand at its name, made fit for one.
ObjectKey file_key(const std::string& path) {
  std::string name;
  for (const char c : path) {
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool fits = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '.';
    name += fits ? lower : '-';
  }
  return {"ManifestFile", "default", shortened(name, 200)};
}

}  // namespace

FileSync::FileSync(std::filesystem::path directory, const crds::Catalog& catalog, ResourceClient& api, Metrics& metrics,
                   const Clock& clock)
    : directory_(std::move(directory)),
      catalog_(catalog),
      api_(api),
      clock_(clock),
      broken_(metrics.gauge(metric::kManifestFilesBroken)),
      missing_(metrics.gauge(metric::kManifestObjectsMissing)),
      last_scan_(metrics.gauge(metric::kManifestLastScan)) {}

Result<FileSync::Pass> FileSync::run() {
  auto tree = find_manifests(directory_);
  if (!tree) return tl::unexpected(tree.error());
  std::vector<Source> sources = read(*tree);
  auto sourced = sourced_objects();
  if (!sourced) return within("read the objects that came from files", sourced.error());

  Pass pass{std::move(tree->directories), false};
  refuse_duplicates(sources, *sourced);
  for (Source& source : sources)
    if (source.problems.empty()) pass.again_soon |= apply(source, *sourced);
  // What moved from one file to another has its new file by now.
  if (auto now = sourced_objects()) *sourced = std::move(*now);
  pass.again_soon |= mark_missing(sources, *sourced);
  tell_problems(sources, *sourced);
  last_scan_.set(clock_.now());
  return pass;
}

std::vector<FileSync::Source> FileSync::read(const ManifestTree& tree) {
  std::vector<Source> sources;
  std::map<std::string, Parsed> parsed;
  for (const std::string& path : tree.files) {
    Source source{path, {}, {}};
    const auto text = read_regular_file((directory_ / path).string(), kMaxFileBytes);
    if (!text) {
      // Gone since the directory was listed: the next pass sees that.
      if (text.error().kind == ErrorKind::NotFound) continue;
      source.problems.push_back(path + ": " + text.error().message);
    } else {
      const std::string hash = sha256_hex(*text);
      auto known = parsed_.extract(path);
      if (known && known.mapped().hash == hash)
        parsed.insert(std::move(known));
      else
        parsed[path] = {hash, crds::validate_manifests(*text, path, catalog_)};
      source.manifest = parsed[path].manifest;
      for (const crds::Diagnostic& problem : source.manifest.problems) source.problems.push_back(to_string(problem));
      for (const crds::Manifest& manifest : source.manifest.objects)
        if (key_of(manifest).name.empty())
          source.problems.push_back(
              fmt::format("{}:{}: metadata.name: a manifest in a file needs a name of its own, generateName would make "
                          "a new object each time",
                          path, manifest.line));
    }
    sources.push_back(std::move(source));
  }
  parsed_ = std::move(parsed);
  return sources;
}

Result<FileSync::SourcedObjects> FileSync::sourced_objects() {
  SourcedObjects all;
  const ListOptions options{
      .ns = "", .label_selector = fmt::format("{}={}", kSourceLabel, kSourceLabelValue), .field_selector = ""};
  for (const auto& crd : catalog_.all()) {
    auto list = api_.list(crd->kind, options);
    if (!list) return tl::unexpected(list.error());
    for (json& object : list->items) {
      Sourced one{annotation(object, kSourceFile), annotation(object, kSourceHash),
                  !annotation(object, kSourceMissing).empty(), std::move(object)};
      ObjectKey key = key_of(one.object);
      all.emplace(std::move(key), std::move(one));
    }
  }
  return all;
}

void FileSync::refuse_duplicates(std::vector<Source>& sources, const SourcedObjects& sourced) const {
  std::map<ObjectKey, std::string> holder;
  std::set<std::string> broken;
  for (const Source& source : sources)
    if (!source.problems.empty()) broken.insert(source.path);
  // A broken file does not say what it wants to define: it keeps what it held.
  for (const auto& [key, one] : sourced)
    if (!one.missing && broken.contains(one.file)) holder[key] = one.file;
  const auto for_each = [&](auto&& visit) {
    for (Source& source : sources)
      if (source.problems.empty())
        for (const crds::Manifest& manifest : source.manifest.objects) visit(source, manifest, key_of(manifest));
  };
  for_each([&](const Source& source, const crds::Manifest&, const ObjectKey& key) {
    const auto live = sourced.find(key);
    if (live != sourced.end() && live->second.file == source.path) holder[key] = source.path;
  });
  for_each(
      [&](const Source& source, const crds::Manifest&, const ObjectKey& key) { holder.emplace(key, source.path); });
  for (Source& source : sources) {
    if (!source.problems.empty()) continue;
    for (const crds::Manifest& manifest : source.manifest.objects) {
      const ObjectKey key = key_of(manifest);
      const std::string& other = holder.at(key);
      if (other == source.path) continue;
      const std::string why =
          broken.contains(other)
              ? fmt::format("came from {}, which is broken and keeps it: mend that file first", other)
              : fmt::format("is in {} already, which holds it: remove it from one of the two", other);
      source.problems.push_back(fmt::format("{}:{}: {} {}", source.path, manifest.line, to_string(key), why));
    }
  }
}

bool FileSync::apply(Source& source, const SourcedObjects& sourced) {
  std::vector<const crds::Manifest*> due;
  for (const crds::Manifest& manifest : source.manifest.objects) {
    const auto live = sourced.find(key_of(manifest));
    const bool is_done = live != sourced.end() && live->second.file == source.path && !live->second.missing &&
                         live->second.hash == hash_of(manifest.object);
    if (!is_done) due.push_back(&manifest);
  }
  // The whole file is tried before any of it is written: what the file alone could not show (a change of something
  // immutable) must not leave it applied by half.
  for (const bool dry_run : {true, false}) {
    for (const crds::Manifest* manifest : due) {
      const ObjectKey key = key_of(*manifest);
      const auto applied = api_.apply(marked(*manifest, source.path), as_files(dry_run));
      if (!applied) {
        source.problems.push_back(fmt::format("{}:{}: {}", source.path, manifest->line, applied.error().message));
        if (is_retryable(applied.error().kind)) return true;
        continue;
      }
      if (dry_run || applied->what == Applied::Unchanged) continue;
      const char* verb = applied->what == Applied::Created ? "created" : "configured";
      log_info("manifest applied", {{"object", to_string(key)}, {"file", source.path}, {"what", verb}});
      tell(key, uid_of(applied->object), false, "ManifestApplied", fmt::format("{} from {}", verb, source.path));
    }
    if (!source.problems.empty()) return false;
  }
  return false;
}

bool FileSync::mark_missing(const std::vector<Source>& sources, SourcedObjects& sourced) {
  std::map<std::string, const Source*> by_path;
  for (const Source& source : sources) by_path[source.path] = &source;
  bool again_soon = false;
  int missing = 0;
  for (auto& [key, one] : sourced) {
    const auto source = by_path.find(one.file);
    // A broken file does not say what it wants to define.
    if (source != by_path.end() && (!source->second->problems.empty() || defines(source->second->manifest, key)))
      continue;
    ++missing;
    if (one.missing) continue;
    json object = one.object;
    object["metadata"]["annotations"][std::string(kSourceMissing)] = format_rfc3339(clock_.now());
    if (const auto updated = api_.update(object, as_files(false)); !updated) {
      again_soon = true;
      continue;
    }
    const std::string message =
        fmt::format("{} no longer has this object; it is kept as it is. Remove it with `roadstead delete {} {}{}`",
                    one.file, catalog_.find(object.at("apiVersion").get<std::string>(), key.kind)->singular, key.name,
                    key.ns.empty() ? "" : " -n " + key.ns);
    log_warning("the manifest of an object is gone", {{"object", to_string(key)}, {"file", one.file}});
    tell(key, uid_of(object), true, "ManifestMissing", message);
  }
  missing_.set(missing);
  return again_soon;
}

void FileSync::tell_problems(const std::vector<Source>& sources, const SourcedObjects& sourced) {
  std::map<std::string, std::string> told;
  for (const Source& source : sources) {
    if (source.problems.empty()) continue;
    const std::string all = fmt::format("{}", fmt::join(source.problems, "; "));
    told[source.path] = all;
    if (const auto before = told_.find(source.path); before != told_.end() && before->second == all) continue;
    for (const std::string& problem : source.problems) {
      log_error("a manifest file is not applied", {{"file", source.path}, {"problem", problem}});
      tell(file_key(source.path), "", true, "ManifestBroken", problem);
    }
    const std::string kept = fmt::format("what {} said before still holds: {}", source.path, source.problems.front());
    for (const auto& [key, one] : sourced)
      if (one.file == source.path) tell(key, uid_of(one.object), true, "ManifestBroken", kept);
  }
  for (const auto& [path, problems] : told_)
    if (!told.contains(path)) log_info("a manifest file is whole again, or gone", {{"file", path}});
  told_ = std::move(told);
  broken_.set(static_cast<double>(told_.size()));
}

void FileSync::tell(const ObjectKey& about, const std::string& uid, bool warning, std::string reason,
                    std::string message) {
  if (auto told = api_.record({about, uid, warning, std::move(reason), std::move(message)}); !told)
    log_warning("an event was not recorded", {{"error", told.error().message}});
}

}  // namespace roadstead::files
