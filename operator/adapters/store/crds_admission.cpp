#include "operator/adapters/store/crds_admission.h"

#include <algorithm>
#include <string>
#include <vector>

namespace roadstead::store {
namespace {

using nlohmann::json;

/// Of fields whose message names them itself.
std::string joined_messages(const std::vector<crds::FieldError>& errors) {
  std::vector<std::string> texts;
  texts.reserve(errors.size());
  for (const auto& error : errors) texts.push_back(crds::message_with_hint(error));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

const crds::Crd* CrdsAdmission::definition_of(const json& object) const {
  const std::string version = object.value("apiVersion", std::string()), kind = object.value("kind", std::string());
  const auto found = std::find_if(definitions_.begin(), definitions_.end(),
                                  [&](const auto& crd) { return crd->kind == kind && crd->api_version() == version; });
  return found == definitions_.end() ? nullptr : found->get();
}

Result<json> CrdsAdmission::admit(const json& incoming, const json* old, bool /*dry_run*/) {
  const std::string kind = incoming.value("kind", std::string());
  const crds::Crd* definition = definition_of(incoming);
  if (!definition) return fail(ErrorKind::Invalid, "no definition of kind \"{}\"", kind);
  const crds::Crd& crd = *definition;
  if (const auto unknown = crd.schema.unknown_fields(incoming); !unknown.empty())
    return fail(ErrorKind::Invalid, "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}", kind,
                crd.version, kind, joined_messages(unknown));
  json object = incoming;
  crd.schema.apply_defaults(object);
  if (const auto errors = crds::validate_object(crd, object, old); !errors.empty())
    return fail(ErrorKind::Invalid, "{}.{} \"{}\" is invalid: {}", kind, crd.group,
                object.at("metadata").value("name", std::string()), crds::joined(errors));
  return object;
}

json CrdsAdmission::prune(json object) {
  const crds::Crd* crd = definition_of(object);
  if (!crd) return object;
  crd->schema.prune(object);
  crd->schema.apply_defaults(object);
  return object;
}

}  // namespace roadstead::store
