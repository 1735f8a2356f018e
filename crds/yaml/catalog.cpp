#include "crds/yaml/catalog.h"

#include <algorithm>

#include "crds/yaml/reader.h"
#include "operator/base/text.h"

namespace roadstead::crds {
Result<void> Catalog::add(std::shared_ptr<const Crd> crd) {
  for (const auto& other : crds_)
    if (other->group == crd->group && (other->kind == crd->kind || other->plural == crd->plural))
      return fail(ErrorKind::AlreadyExists, "the kind {} is defined twice", crd->full_name());
  crds_.push_back(std::move(crd));
  return {};
}

const Crd* Catalog::find(std::string_view api_version, std::string_view kind) const {
  for (const auto& crd : crds_)
    if (crd->kind == kind && crd->api_version() == api_version) return crd.get();
  return nullptr;
}

const Crd* Catalog::find_resource(std::string_view group, std::string_view version, std::string_view plural) const {
  for (const auto& crd : crds_)
    if (crd->plural == plural && crd->group == group && crd->version == version) return crd.get();
  return nullptr;
}

const Crd* Catalog::find_by_name(std::string_view name) const {
  const std::size_t dot = name.find('.');
  const std::string_view group = dot == name.npos ? std::string_view() : name.substr(dot + 1);
  name = name.substr(0, dot);
  for (const auto& crd : crds_) {
    if (dot != std::string_view::npos && crd->group != group) continue;
    const bool own_name = equal_ignoring_case(name, crd->kind) || equal_ignoring_case(name, crd->plural) ||
                          equal_ignoring_case(name, crd->singular);
    if (own_name || std::ranges::find(crd->short_names, name) != crd->short_names.end()) return crd.get();
  }
  return nullptr;
}

Result<void> add_definitions(Catalog& catalog, std::string_view text, std::string_view source_name) {
  const auto documents = read_manifests(text, source_name);
  if (!documents) return fail(ErrorKind::Invalid, "{}", to_string(documents.error()));
  for (const Document& document : *documents) {
    auto crd = load_crd(document.value);
    if (!crd)
      return within(
          to_string(Diagnostic{
              std::string(source_name), document.mark_of("").line, document.mark_of("").column, {}, "definition"}),
          crd.error());
    if (auto added = catalog.add(std::move(*crd)); !added) return added;
  }
  return {};
}

Result<Catalog> builtin_catalog() {
  Catalog catalog;
  for (const EmbeddedCrd& file : embedded_crds())
    if (auto added = add_definitions(catalog, file.yaml, file.file); !added)
      return fail(ErrorKind::Internal, "the built-in definitions are broken: {}", added.error().message);
  return catalog;
}

}  // namespace roadstead::crds
