#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace roadstead {

/// Which object: kind ("RestoreRequest"), namespace (empty for cluster-scoped kinds) and name.
struct ObjectKey {
  std::string kind;
  std::string ns;
  std::string name;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 that <=> is compared with for a pointer
  auto operator<=>(const ObjectKey&) const = default;
};

/// "RestoreRequest default/uat-november"; "Host uat".
std::string to_string(const ObjectKey& key);

/// `text` if it is at most `limit` bytes, else its beginning and ten hex digits of its hash: stable, and different
/// for different texts.
std::string shortened(std::string_view text, std::size_t limit);

}  // namespace roadstead

template <>
struct std::hash<roadstead::ObjectKey> {
  std::size_t operator()(const roadstead::ObjectKey& key) const noexcept {
    const std::hash<std::string> h;
    return h(key.kind) ^ (h(key.ns) * 31) ^ (h(key.name) * 131);
  }
};
