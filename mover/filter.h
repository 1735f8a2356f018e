#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mover/contract/job.h"

namespace roadstead::mover {

/// Decides what of a source is shipped (see Source in the contract).
class Filter {
 public:
  explicit Filter(const Source& source);

  /// `path` is relative to the source's root. What is left out is left out with its content.
  [[nodiscard]] bool takes(std::string_view path, bool is_directory) const;

 private:
  [[nodiscard]] bool excluded(std::string_view path) const;
  [[nodiscard]] bool is_kept_wal(std::string_view path, bool is_directory) const;

  std::vector<std::string> anywhere_;   ///< Patterns for a name alone.
  std::vector<std::string> from_root_;  ///< Patterns for a whole path.
  std::optional<KeepWal> keep_wal_;
};

}  // namespace roadstead::mover
