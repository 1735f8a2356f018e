#pragma once

#include <nlohmann/json_fwd.hpp>

#include "operator/base/result.h"

namespace roadstead::store {

/// What the schemas say about an object. Called from several threads.
class Admission {
 public:
  virtual ~Admission() = default;
  /// `incoming` with its defaults, if it is as its schema wants it and changes nothing immutable of `old` (null: it is
  /// new). Errors: Invalid, naming every field: "spec.keep: Invalid value: 0: ...", several joined by ", ".
  virtual Result<nlohmann::json> admit(const nlohmann::json& incoming, const nlohmann::json* old, bool dry_run) = 0;
  /// What was stored under an older schema, without the fields that are unknown by now and with today's defaults.
  virtual nlohmann::json prune(nlohmann::json object) = 0;
};

}  // namespace roadstead::store
