#include "operator/base/names.h"

#include "operator/base/hash.h"

namespace roadstead {

std::string to_string(const ObjectKey& key) {
  return key.ns.empty() ? key.kind + " " + key.name : key.kind + " " + key.ns + "/" + key.name;
}

std::string shortened(std::string_view text, std::size_t limit) {
  constexpr std::size_t kHash = 10;
  if (text.size() <= limit) return std::string(text);
  return std::string(text.substr(0, limit - kHash - 1)) + "-" + sha256_hex(text).substr(0, kHash);
}

}  // namespace roadstead
