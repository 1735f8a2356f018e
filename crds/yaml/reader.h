#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace roadstead::crds {

/// One sentence about one place in a file.
struct Diagnostic {
  std::string file;
  std::size_t line = 0;  ///< From 1; 0 = the file as a whole.
  std::size_t column = 0;
  std::string field;  ///< "spec.items[0].to.volume"; may be empty.
  std::string message;
};

/// "restore.yaml:12:5: spec.items[0].to.volume: Required value"
std::string to_string(const Diagnostic& diagnostic);

/// Where a value was written: at the key that names it, or at the value itself in a list. From 1.
struct Mark {
  std::size_t line = 0;
  std::size_t column = 0;
  std::string unquoted;  ///< As it was written, where an unquoted word became something else than a string ("yes").
};

struct Document {
  nlohmann::json value;
  std::map<std::string, Mark> marks;  ///< By JSON pointer; "" is the document. What an alias stands for has none.

  /// The mark of `pointer`, or of the nearest thing around it that has one.
  [[nodiscard]] const Mark& mark_of(std::string_view pointer) const;
};

/// The documents of a YAML or JSON text, the empty ones left out, with YAML 1.1 scalars as Kubernetes reads them.
/// Refused, with the place: more than 3 MiB of text or 1.5 MiB in one document, what is not UTF-8 text, nesting beyond
/// 100 levels, more than 200,000 values (aliases counted as what they stand for, and 10,000 of those), keys that are
/// there twice, merge keys, tags, infinities, an alias inside of what it stands for.
[[nodiscard]] tl::expected<std::vector<Document>, Diagnostic> read_manifests(std::string_view text,
                                                                             std::string_view source_name);

}  // namespace roadstead::crds
