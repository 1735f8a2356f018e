#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "operator/adapters/store/change_log.h"
#include "operator/adapters/store/sqlite.h"
#include "operator/base/result.h"

namespace roadstead::store {

/// The durable side of the store: one SQLite file, one writer. What write() has answered for survives a kill and a
/// power loss (journal mode WAL, synchronous FULL).
class Journal {
 public:
  /// Checks the file, brings an older schema up to date.
  /// Errors: Invalid (made by a newer version of this program), Internal (damaged; what to do is in the message),
  /// Unavailable, NoSpace.
  static Result<Journal> open(const std::filesystem::path& file, Time now);

  struct Contents {
    std::vector<ObjectPtr> objects;
    std::vector<Change> changes;  ///< In the order of their versions.
    std::uint64_t version = 0;    ///< The newest ever given out.
    std::uint64_t floor = 0;      ///< Changes up to here are gone.
  };
  Result<Contents> load();

  /// All of it or nothing. `floor`: changes up to this version are dropped.
  Result<void> write(std::span<const Change> changes, std::uint64_t version, std::uint64_t floor);

  /// Writes beyond so many pages of the file answer NoSpace, as on a full disk.
  Result<void> limit_pages(std::int64_t pages);

 private:
  explicit Journal(Database database) : database_(std::move(database)) {}
  Result<void> migrate(Time now);
  Result<void> prepare();
  Result<void> write_rows(std::span<const Change> changes, std::uint64_t version, std::uint64_t floor);

  Database database_;
  Statement put_object_, delete_object_, add_change_, drop_changes_, set_state_;
};

}  // namespace roadstead::store
