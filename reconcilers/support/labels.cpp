#include "reconcilers/support/labels.h"

namespace roadstead::reconcilers {

std::string value_of(const Labels& labels, std::string_view name) {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? std::string() : found->second;
}

Labels owner_labels(const std::string& installation, const ObjectKey& owner) {
  return {{std::string(label::kInstallation), installation},
          {std::string(label::kKind), owner.kind},
          {std::string(label::kNamespace), owner.ns},
          {std::string(label::kName), owner.name}};
}

std::optional<ObjectKey> owner_of(const Labels& labels, const std::string& installation) {
  if (value_of(labels, label::kInstallation) != installation) return std::nullopt;
  ObjectKey key{value_of(labels, label::kKind), value_of(labels, label::kNamespace), value_of(labels, label::kName)};
  if (key.kind.empty() || key.name.empty()) return std::nullopt;
  return key;
}

}  // namespace roadstead::reconcilers
