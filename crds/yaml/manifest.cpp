#include "crds/yaml/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "operator/base/names.h"

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;

std::string string_at(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

constexpr std::size_t kMostProblems = 50;  // of one document; the rest is only counted

/// Judges one file, document by document.
class Judge {
 public:
  Judge(std::string_view file, const Catalog& catalog) : file_(file), catalog_(catalog) {}

  void judge(Document document) {
    const Crd* crd = kind_of(document);
    if (crd == nullptr) return;
    std::vector<FieldError> errors = crd->schema.unknown_fields(document.value);
    Json filled = document.value;
    crd->schema.apply_defaults(filled);
    std::ranges::move(validate_object(*crd, filled), std::back_inserter(errors));
    if (errors.empty()) return accept(std::move(document), *crd);
    std::vector<Diagnostic> found;
    found.reserve(errors.size());
    for (const FieldError& error : errors) found.push_back(diagnostic(document, error));
    std::ranges::stable_sort(found, {}, [](const Diagnostic& d) { return std::pair(d.line, d.column); });
    if (found.size() > kMostProblems) {
      const std::size_t more = found.size() - kMostProblems;
      found.resize(kMostProblems);
      found.push_back({std::string(file_),
                       found.back().line,
                       found.back().column,
                       {},
                       fmt::format("{} more problems follow in this document", more)});
    }
    std::ranges::move(found, std::back_inserter(result.problems));
  }

  ManifestFile result;

 private:
  void say(const Document& document, std::string_view pointer, std::string field, std::string message) {
    const Mark& mark = document.mark_of(pointer);
    result.problems.push_back({std::string(file_), mark.line, mark.column, std::move(field), std::move(message)});
  }

  const Crd* kind_of(const Document& document) {
    if (!document.value.is_object()) {
      say(document, "", "", "a manifest is a map with apiVersion, kind, metadata and spec");
      return nullptr;
    }
    const std::string api_version = string_at(document.value, "apiVersion");
    const std::string kind = string_at(document.value, "kind");
    for (const char* name : {"apiVersion", "kind"}) {
      if (!string_at(document.value, name).empty()) continue;
      say(document, std::string("/") + name, name,
          document.value.contains(name) ? "a string is wanted" : "Required value");
      return nullptr;
    }
    if (const Crd* crd = catalog_.find(api_version, kind)) return crd;
    const Crd* close = catalog_.find_by_name(kind);
    if (close != nullptr && close->kind == kind) {
      say(document, "/apiVersion", "apiVersion",
          fmt::format("{} is not the version of {}, write {}", quoted_value(api_version), kind, close->api_version()));
    } else {
      std::string known;
      for (const auto& crd : catalog_.all()) known += (known.empty() ? "" : ", ") + crd->kind;
      say(document, "/kind", "kind", fmt::format("{} is not a kind that is known here: {}", quoted_value(kind), known));
    }
    return nullptr;
  }

  Diagnostic diagnostic(const Document& document, const FieldError& error) const {
    const Mark& mark = document.mark_of(error.pointer);
    std::string message = error.reason == kUnknownField ? "unknown field" : error.message;
    if (!error.hint.empty()) {
      const bool quote = error.hint.starts_with("quote it") && !mark.unquoted.empty();
      message += "; " + (quote ? "quote it: \"" + mark.unquoted + "\"" : error.hint);
    }
    return {std::string(file_), mark.line, mark.column, error.field, std::move(message)};
  }

  void accept(Document document, const Crd& crd) {
    const Json& metadata = document.value["metadata"];
    const std::string name = string_at(metadata, "name");
    std::string ns = crd.scope == Scope::Cluster ? std::string() : string_at(metadata, "namespace");
    if (crd.scope == Scope::Namespaced && ns.empty()) ns = "default";
    const std::size_t line = document.mark_of("").line;
    if (!name.empty()) {
      const ObjectKey key{crd.kind, ns, name};
      const auto [first, is_new] = seen_.emplace(key, line);
      if (!is_new)
        return say(document, "/metadata/name", "metadata.name",
                   fmt::format("{} is in this file already, on line {}", to_string(key), first->second));
    }
    result.objects.push_back({std::move(document.value), &crd, line});
  }

  std::string_view file_;
  const Catalog& catalog_;
  std::map<ObjectKey, std::size_t> seen_;
};

}  // namespace

ManifestFile validate_manifests(std::string_view text, std::string_view file, const Catalog& catalog) {
  auto documents = read_manifests(text, file);
  if (!documents) return {{}, {documents.error()}};
  Judge judge(file, catalog);
  for (Document& document : *documents) judge.judge(std::move(document));
  return std::move(judge.result);
}

}  // namespace roadstead::crds
