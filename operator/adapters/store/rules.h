#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "operator/adapters/store/admission.h"
#include "operator/base/clock.h"
#include "operator/base/result.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/resource_type.h"

namespace roadstead::store {

/// What a write comes to.
struct Decision {
  enum class What { Nothing, Put, Delete };
  What what = What::Nothing;
  nlohmann::json object;  ///< As it shall be; the resourceVersion is still that of before.
};

/// Chance for new objects.
struct Chance {
  std::function<std::string()> uid;
  std::function<std::string()> suffix;  ///< Five characters for generateName.
};
Chance system_chance();

/// What each verb does to an object, as Kubernetes does it: no I/O, no lock. `live` is the object as it is now, null
/// where there is none. The texts of the errors are Kubernetes' own, since tools and people know them.
class Rules {
 public:
  /// `types`, `admission` and `clock` must outlive this.
  Rules(const ResourceTypes& types, Admission& admission, const Clock& clock, Chance chance);

  /// The object's place. A namespaced one that names no namespace is in "default".
  /// Errors: Invalid (unknown kind, wrong apiVersion, bad name, a namespace where there is none).
  Result<ObjectKey> key_of(const nlohmann::json& object) const;
  /// The same for a key; NotFound for an unknown kind.
  Result<ObjectKey> normalized(ObjectKey key) const;
  /// generateName's answer.
  [[nodiscard]] std::string generated_name(const std::string& prefix) const;

  Result<Decision> create(const nlohmann::json& incoming, const nlohmann::json* live, bool dry_run) const;
  Result<Decision> update(const nlohmann::json& incoming, const nlohmann::json* live, bool dry_run) const;
  Result<Decision> update_status(const nlohmann::json& incoming, const nlohmann::json* live, bool dry_run) const;
  Result<Decision> apply(const nlohmann::json& incoming, const nlohmann::json* live, bool dry_run) const;
  Result<Decision> remove(const ObjectKey& key, const Preconditions& preconditions, const nlohmann::json* live) const;

  /// The Event object for `event`, with the count of `live` continued.
  [[nodiscard]] Decision record(const EventRecord& event, const ObjectKey& at, const nlohmann::json* live) const;
  /// Where record() keeps it: equal events have one place.
  [[nodiscard]] ObjectKey event_key(const EventRecord& event) const;

  [[nodiscard]] Error not_found(const ObjectKey& key) const;

 private:
  Result<nlohmann::json> admitted(const nlohmann::json& candidate, const nlohmann::json* old, bool dry_run) const;
  /// Counts a generation where there is a difference, and notices that there is none.
  Result<Decision> replaced(const nlohmann::json& candidate, const nlohmann::json& live, bool dry_run) const;
  Result<void> check_version(const nlohmann::json& incoming, const nlohmann::json& live, bool required) const;

  const ResourceTypes& types_;
  Admission& admission_;
  const Clock& clock_;
  const Chance chance_;
};

}  // namespace roadstead::store
