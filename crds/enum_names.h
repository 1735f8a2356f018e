#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>

namespace roadstead::crds {

/// Specialised beside each enum: `names`, in the order of the enumerators, are the values manifests are written with.
template <class E>
struct EnumNames;

template <class E>
concept NamedEnum = requires {
  EnumNames<E>::names[0];
};

template <NamedEnum E>
constexpr std::string_view to_string(E value) {
  return EnumNames<E>::names[static_cast<std::size_t>(value)];
}

/// Nothing where `text` is none of the enum's names (they are case-sensitive).
template <NamedEnum E>
constexpr std::optional<E> from_string(std::string_view text) {
  for (std::size_t i = 0; i < std::size(EnumNames<E>::names); ++i)
    if (EnumNames<E>::names[i] == text) return static_cast<E>(i);
  return std::nullopt;
}

}  // namespace roadstead::crds
