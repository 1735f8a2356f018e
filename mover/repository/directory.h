#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "mover/files.h"
#include "mover/repository/format.h"

namespace roadstead::mover {

/// What a repository directory is opened for. Reading, verifying, writing and marking go on beside each other; there is
/// one writer, one verifier and one who marks; nobody is there while it is swept.
enum class Use { Read, Write, Sweep, Verify, Mark };

inline constexpr const char* kPartSuffix = ".part";
/// A manifest while it is written: no snapshot's id begins with a dot.
inline constexpr const char* kManifestPart = ".part";
inline constexpr const char* kDamagedName = "damaged";
inline constexpr const char* kKeptName = "kept";

/// An extent of a pack whose bytes are not what they should be.
struct DamagedExtent {
  Digest name{};
  PackId pack = 0;
  bool operator==(const DamagedExtent&) const = default;
  bool operator<(const DamagedExtent& other) const { return std::tie(name, pack) < std::tie(other.name, other.pack); }
};

/// A repository directory and its locks, which end with it: killing the mover unlocks it.
class RepositoryDirectory {
 public:
  /// Write makes what is missing. NotFound: no repository is there. Busy: others are at it, at once, without waiting.
  static Outcome<RepositoryDirectory> open(const std::string& path, Use use);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int root() const { return root_.get(); }
  [[nodiscard]] int packs() const { return packs_.get(); }
  [[nodiscard]] int snapshots() const { return snapshots_.get(); }

  /// Of sealed packs, and of those a writer left unfinished.
  [[nodiscard]] Outcome<std::vector<PackId>> pack_ids() const;
  [[nodiscard]] Outcome<std::vector<PackId>> part_ids() const;
  /// In the order of their bytes.
  [[nodiscard]] Outcome<std::vector<std::string>> snapshot_ids() const;

  /// Sorted. A list that is itself damaged counts as empty: verifications write it anew.
  [[nodiscard]] Outcome<std::vector<DamagedExtent>> damaged() const;
  Outcome<void> write_damaged(std::vector<DamagedExtent> damaged) const;

  /// Ids that must not be forgotten, sorted; those of snapshots that are gone may be among them.
  [[nodiscard]] Outcome<std::vector<std::string>> kept() const;
  /// Takes the marks of these, and of snapshots that are gone, away, durably.
  [[nodiscard]] Outcome<void> tidy_kept(const std::vector<std::string>& released) const;

  [[nodiscard]] std::uint64_t free_bytes() const;

  /// The failure of a call that should have written `bytes`: where the disk is full, told with numbers.
  [[nodiscard]] Failure write_failure(int error, std::string_view what, std::uint64_t bytes) const;

 private:
  RepositoryDirectory() = default;
  Outcome<void> make();
  Outcome<void> check_format() const;
  Outcome<void> lock(Use use);
  Outcome<Fd> locked(const char* name, int operation, std::string_view who, bool make) const;
  [[nodiscard]] Outcome<std::vector<PackId>> ids_with(std::string_view suffix) const;

  std::string path_;
  Fd root_, packs_, snapshots_;
  Fd lock_, role_lock_;
};

}  // namespace roadstead::mover
