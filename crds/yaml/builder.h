#pragma once

// Inside of crds/yaml only: builds one JSON value from a stream of events, keeping the limits and where things stand.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "crds/yaml/reader.h"

namespace roadstead::crds {

inline constexpr std::size_t kMaxManifestBytes = std::size_t{3} << 20;
inline constexpr std::size_t kMaxDocumentBytes = std::size_t{1536} << 10;
inline constexpr std::size_t kMaxDepth = 100;
inline constexpr std::size_t kMaxNodes = 200'000;
inline constexpr std::size_t kMaxAliasNodes = 10'000;
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxMarkedPointer = 512;  // bytes; no manifest of ours comes near

/// Ends a reading; never leaves read_manifests.
struct ReadProblem {
  std::size_t line = 0;
  std::size_t column = 0;
  std::string field;
  std::string message;
};

/// Of all documents of one text: `nodes` and `alias_nodes` count over all of them.
class ValueBuilder {
 public:
  using Anchor = std::size_t;  ///< 0 = none

  void begin_document(Mark mark);
  /// The finished document; its value is null where it was empty.
  Document end_document();

  void begin(bool is_map, Mark mark, Anchor anchor = 0);
  void end();
  void scalar(nlohmann::json value, const Mark& mark, Anchor anchor = 0);
  void alias(Anchor anchor, Mark mark);
  /// True where the next event is a key of the innermost map.
  [[nodiscard]] bool wants_key() const;
  void key(std::string name, Mark mark);
  /// What the next value will be, for messages: "spec.items[0]".
  [[nodiscard]] std::string field() const;

  [[noreturn]] void refuse(const Mark& mark, std::string message) const;

 private:
  struct Frame {
    nlohmann::json value;
    bool is_map = false;
    std::optional<std::string> key;  // of the value that comes next
    Anchor anchor = 0;
    Mark mark;
    std::size_t nodes_before = 0;
    std::string pointer;  // empty beyond kMaxMarkedPointer, or long keys high up would be copied for each value below
    bool is_marked = true;
    std::map<std::string, std::size_t> key_lines;
  };
  struct Anchored {
    nlohmann::json value;
    std::size_t nodes = 0;
    bool open = true;
  };

  void count(std::size_t nodes, const Mark& mark);
  void place_mark(const Mark& mark);
  void attach(nlohmann::json value);
  /// Nothing where marks are no longer kept.
  [[nodiscard]] std::optional<std::string> child_pointer() const;
  void keep_anchored(Anchor anchor, const nlohmann::json& value, std::size_t nodes, const Mark& mark);

  Document document_;
  std::vector<Frame> frames_;
  std::map<Anchor, Anchored> anchors_;
  std::size_t nodes_ = 0;
  std::size_t alias_nodes_ = 0;
  std::size_t anchored_nodes_ = 0;  // copied for aliases that may come
};

}  // namespace roadstead::crds
