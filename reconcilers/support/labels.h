#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/base/names.h"
#include "operator/ports/engine.h"

namespace roadstead::reconcilers {

/// Labels on everything this program makes in an engine.
namespace label {
inline constexpr std::string_view kInstallation = "dev.roadstead.installation";
inline constexpr std::string_view kRole = "dev.roadstead.role";  ///< "worker" or "standing"
inline constexpr std::string_view kKind = "dev.roadstead.kind";
inline constexpr std::string_view kNamespace = "dev.roadstead.namespace";
inline constexpr std::string_view kName = "dev.roadstead.name";
inline constexpr std::string_view kItem = "dev.roadstead.item";
inline constexpr std::string_view kStep = "dev.roadstead.step";
inline constexpr std::string_view kAttempt = "dev.roadstead.attempt";
inline constexpr std::string_view kSpecHash = "dev.roadstead.spec-hash";
/// Of a serving mover: part of what its key comes from.
inline constexpr std::string_view kNonce = "dev.roadstead.nonce";
}  // namespace label

inline constexpr std::string_view kWorkerRole = "worker";
inline constexpr std::string_view kStandingRole = "standing";

/// The value of a label; empty where it is not there.
std::string value_of(const Labels& labels, std::string_view name);

/// What selects everything of one object.
Labels owner_labels(const std::string& installation, const ObjectKey& owner);

/// The object that a labelled container belongs to; nothing for other people's containers and other installations'.
std::optional<ObjectKey> owner_of(const Labels& labels, const std::string& installation);

}  // namespace roadstead::reconcilers
