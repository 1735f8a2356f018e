#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "operator/base/result.h"

namespace roadstead::crds {

inline constexpr std::string_view kGroup = "roadstead.dev";
inline constexpr std::string_view kVersion = "v1alpha1";
inline constexpr std::string_view kApiVersion = "roadstead.dev/v1alpha1";

enum class Scope { Cluster, Namespaced };

/// Specialised beside each kind's value: `kind` ("Host"), `plural` ("hosts"), `scope`.
template <class T>
struct Kind;

/// A whole object (apiVersion, kind, metadata, spec, status) as its value. Fields that the value does not know are
/// dropped. Errors: Invalid, naming the field ("spec.items[0].to.volume: a string is wanted, found a number").
template <class T>
[[nodiscard]] Result<T> from_json(const nlohmann::json& object);

/// The whole object. Empty lists, maps and optional fields are left out; an empty status is `{}`.
template <class T>
[[nodiscard]] nlohmann::json to_json(const T& object);

}  // namespace roadstead::crds
