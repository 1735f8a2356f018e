#pragma once

#include <cstdint>
#include <optional>

#include "mover/contract/job.h"
#include "mover/files.h"

namespace roadstead::mover {

/// A request's directory beside a volume's `_data`, locked: two movers never work in one. Killing the mover unlocks it.
struct Place {
  Fd parent;   ///< Holds `_data`.
  Fd request;  ///< `<parent>/.roadstead/<request>`.

  /// `_data` itself; nothing where there is none. Invalid where it is no directory.
  [[nodiscard]] Outcome<std::optional<struct stat>> data() const;
  /// The staged tree; nothing where there is none.
  [[nodiscard]] Outcome<std::optional<struct stat>> tree() const;
};

/// Makes what is missing of it (0700, durable). Busy: another mover is at it.
Outcome<Place> make_place(const Target& target);

/// Nothing where the request has no directory.
Outcome<std::optional<Place>> find_place(const Target& target);

}  // namespace roadstead::mover
