#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/names.h"
#include "operator/base/result.h"

namespace roadstead::store {

using Labels = std::map<std::string, std::string>;

/// "app=web,tier in (a, b),!old": all must hold. `!=` and `notin` hold for an object without the label.
class LabelSelector {
 public:
  /// Empty text selects everything. Errors: Invalid, naming the part that cannot be read.
  static Result<LabelSelector> parse(std::string_view text);
  [[nodiscard]] bool matches(const Labels& labels) const;
  [[nodiscard]] bool empty() const { return requirements_.empty(); }

 private:
  enum class Operator { In, NotIn, Exists, DoesNotExist };
  struct Requirement {
    std::string key;
    Operator op;
    std::vector<std::string> values;
  };
  static Result<Requirement> requirement(std::string_view part);
  std::vector<Requirement> requirements_;
};

/// "metadata.name=uat,metadata.namespace!=default": all must hold. Events also have involvedObject.*, reason, type,
/// source and reportingComponent.
class FieldSelector {
 public:
  /// Errors: Invalid ("field label not supported: spec.keep").
  static Result<FieldSelector> parse(std::string_view text, std::string_view kind);
  /// What the key alone can tell.
  [[nodiscard]] bool matches(const ObjectKey& key) const;
  /// The rest. An absent field counts as empty.
  [[nodiscard]] bool matches_body(const nlohmann::json& object) const;
  /// False: matches() has said everything.
  [[nodiscard]] bool needs_body() const { return needs_body_; }

 private:
  struct Requirement {
    std::string field;
    std::string value;
    bool equal = true;
  };
  std::vector<Requirement> requirements_;
  bool needs_body_ = false;
};

}  // namespace roadstead::store
