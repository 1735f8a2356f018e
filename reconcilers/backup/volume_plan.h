#pragma once

// What a run of a backup of volumes does and what its looks found: values, and the text in which the entries of
// status.steps keep them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "crds/backup.h"
#include "operator/base/result.h"

namespace roadstead::reconcilers::backup {

/// Where snapshots of one volume are kept.
struct Place {
  std::string source_host;  ///< Whose volume it is: the first part of the directory.
  std::string volume;
  std::string host;                   ///< The destination.
  std::vector<std::string> exclude;   ///< Of a live volume.
  std::vector<std::string> policies;  ///< Whose snapshots are copied, where a repository is.
  bool operator==(const Place&) const = default;
};

/// What the run does, as it was when it began: a policy that is changed or deleted meanwhile changes the next run.
struct Plan {
  crds::BackupSource source;
  std::vector<crds::Destination> destinations;
  std::optional<crds::Transfer> transfer;
  std::int64_t suspicious_shrink_percent = 50;
  std::vector<Place> places;

  [[nodiscard]] bool copies_repository() const { return source.repository.has_value(); }
  /// The host that is read from.
  [[nodiscard]] const std::string& from() const { return source.host_ref->name; }
  [[nodiscard]] std::string name_of(const Place& place) const;
};
/// Its text as an entry of status.steps keeps it.
std::string to_text(const Plan& plan);
/// Errors: Invalid (not what to_text() writes).
Result<Plan> parse_plan(const std::string& text);

/// A snapshot that a place lacks.
struct Missing {
  std::string id;
  std::string origin;                 ///< Of a snapshot that is copied; empty for one that is made.
  std::optional<std::int64_t> bytes;  ///< What it will be, as far as the one before it or itself tells.
  bool operator==(const Missing&) const = default;
};

/// More snapshots are not copied by one run.
inline constexpr std::size_t kMostCopies = 200;

/// What a look found.
struct Lookup {
  bool directory = true;         ///< The directory is there.
  std::vector<Missing> missing;  ///< Oldest first.
  std::int64_t left_out = 0;     ///< More are missing; the next run brings them.
  // Where a repository is copied:
  std::vector<std::string> unreadable{};  ///< Ids that it lacks and whose manifests cannot be read at the source.
  bool source_gone = false;               ///< The source has no directory, though copies out of it are here.
  bool operator==(const Lookup&) const = default;
};
std::string to_text(const Lookup& lookup);
/// Errors: Invalid (not what to_text() writes).
Result<Lookup> parse_lookup(const std::string& text);

}  // namespace roadstead::reconcilers::backup
