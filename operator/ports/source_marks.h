#pragma once

#include <string_view>

namespace roadstead {

/// Label of every object that came from a file.
inline constexpr std::string_view kSourceLabel = "roadstead.dev/source";
inline constexpr std::string_view kSourceLabelValue = "files";
/// Annotations: the file, relative to the directory; the hash of the document as it was applied; and since when there
/// is no such document any more.
inline constexpr std::string_view kSourceFile = "roadstead.dev/source-file";
inline constexpr std::string_view kSourceHash = "roadstead.dev/source-hash";
inline constexpr std::string_view kSourceMissing = "roadstead.dev/source-missing";

}  // namespace roadstead
