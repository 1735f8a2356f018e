#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/enum_names.h"
#include "operator/base/clock.h"

namespace roadstead::crds {

/// The name of another object; of the same namespace where its kind is namespaced.
struct NameRef {
  std::string name;
  auto operator<=>(const NameRef&) const = default;
};

/// Where a secret is read from when it is needed; exactly one is set.
struct SecretRef {
  std::optional<std::string> file;  ///< Absolute path on the operator's machine.
  std::optional<std::string> env;   ///< Name of a variable in the operator's environment.
  auto operator<=>(const SecretRef&) const = default;
};

/// A barman server's backups, as a source.
struct BarmanSource {
  NameRef server_ref;
};

/// How far a transfer is. A percent is there only with a total that was known before it first showed.
struct Progress {
  std::optional<std::string> phase;  ///< What it is doing, in the tool's own word: "streaming database files".
  std::optional<std::int64_t> bytes_done;
  std::optional<std::int64_t> bytes_total;
  std::optional<std::int64_t> percent;     ///< 0 to 100, never goes backwards.
  std::optional<std::int64_t> files_done;  ///< Of backups of volumes only, as the next.
  std::optional<std::int64_t> files_total;
  std::optional<std::int64_t> bytes_per_second;
  std::optional<std::int64_t> eta_seconds;
};

enum class StepState { Running, Succeeded, Failed };
template <>
struct EnumNames<StepState> {
  static constexpr std::string_view names[] = {"Running", "Succeeded", "Failed"};
};

/// One step of a backup or a restore. Finished steps are only appended, never changed.
struct Step {
  std::string name;  ///< "montagu-db/prepare": the item and the step.
  std::string host;  ///< The Host it runs on; empty where it has none.
  std::int64_t attempt = 1;
  std::string worker;  ///< The container's name; empty for steps without one.
  StepState state = StepState::Running;
  std::optional<Time> started_at;
  std::optional<Time> finished_at;
  std::string message;  ///< One sentence, mostly why it failed.
  std::string result;   ///< The step's own answer: the text of a JSON object, or empty.
};

/// What tables print in place of the numbers beside it; programs read the numbers.
struct ProgressSummary {
  std::optional<std::string> progress;    ///< "61%"
  std::optional<std::string> rate;        ///< "412.0 MiB/s"
  std::optional<std::string> eta;         ///< "2m10s"
  std::optional<std::string> data_as_of;  ///< "2026-11-22T09:41:07Z"
};

/// The printed form of `progress`; `data_as_of` where it is known.
ProgressSummary summary_of(const Progress& progress, std::optional<Time> data_as_of);

}  // namespace roadstead::crds
