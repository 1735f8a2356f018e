#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/cli/cli.h"

namespace roadstead::cli {

/// Flags that every verb which speaks to the operator has.
struct Connection {
  std::string kubeconfig;  ///< Empty: $ROADSTEAD_KUBECONFIG, else data_dir/admin.kubeconfig.
  std::string data_dir = kDefaultDataDir;
};

/// What a person named: `restorerequest/uat`, `rr uat`, `hosts`.
struct Target {
  const ResourceType* type = nullptr;
  std::string name;  ///< Empty: all of them.
};

/// One run of a verb.
class Session {
 public:
  Session(const CliHooks& hooks, Connection connection) : hooks_(hooks), connection_(std::move(connection)) {}

  [[nodiscard]] std::ostream& out() const { return *hooks_.out; }
  [[nodiscard]] std::ostream& err() const { return *hooks_.err; }
  [[nodiscard]] const CliHooks& hooks() const { return hooks_; }
  [[nodiscard]] const ResourceTypes& types() const { return *hooks_.types; }

  /// Errors say what to do: no kubeconfig there, not readable.
  Result<std::unique_ptr<ApiClient>> connect() const;

  /// Prints one sentence, with a hint where the operator does not answer; returns kExitError.
  int failed(const Error& error) const;
  int failed(const std::string& message) const;

 private:
  [[nodiscard]] std::string kubeconfig() const;

  const CliHooks& hooks_;
  const Connection connection_;
};

/// `words`: "KIND", "KIND NAME...", "KIND/NAME...". Errors: Invalid (unknown kind, with those that are known).
[[nodiscard]] Result<std::vector<Target>> targets_of(const std::vector<std::string>& words, const ResourceTypes& types);

/// The namespace to ask in: empty for cluster-scoped kinds.
[[nodiscard]] std::string namespace_for(const ResourceType& type, const std::string& given);

/// Calls `look` with the object as it is (null: it is not there), then after each change, until it returns true.
/// `most`: none waits for ever. Returns false when the time was over or the person interrupted.
/// Errors: those of the API; a watch that breaks is taken up again.
[[nodiscard]] Result<bool> follow(ApiClient& client, const ObjectKey& key, std::optional<Millis> most,
                                  const std::function<bool()>& interrupted,
                                  const std::function<bool(const nlohmann::json* object)>& look);

}  // namespace roadstead::cli
