#pragma once

// The bytes of packs. docs/repository-format.md describes them for people. All numbers are little-endian.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mover/hasher.h"
#include "mover/outcome.h"
#include "mover/wire.h"

namespace roadstead::mover {

inline constexpr std::string_view kFormatText = "roadstead-repository 1\n";

/// A pack's name is its number as 16 hex digits; the number is chance.
using PackId = std::uint64_t;
std::string name_of(PackId id);
std::optional<PackId> pack_id_of(std::string_view name);
PackId random_pack_id();

inline constexpr std::size_t kPackHeader = 16;
inline constexpr std::size_t kRecordHeader = 44;
inline constexpr std::size_t kFooterEntry = 48;
inline constexpr std::size_t kPackTrailer = 56;
/// A pack is closed when it has so many bytes.
inline constexpr std::uint64_t kPackBytes = std::uint64_t{64} << 20;
/// Offsets in a pack are 32 bits; no writer comes near.
inline constexpr std::uint64_t kMaxPackBytes = std::uint64_t{1} << 31;

/// An extent in a pack.
struct PackedExtent {
  Digest name{};
  std::uint32_t offset = 0;  ///< Of its record in the pack.
  std::uint32_t length = 0;  ///< Bytes of the file: 1 to kMaxExtent.
  std::uint32_t stored = 0;  ///< Bytes that follow the record's header.
  std::uint8_t codec = kPlain;

  [[nodiscard]] std::uint64_t record_bytes() const { return kRecordHeader + stored; }
  bool operator==(const PackedExtent&) const = default;
};

std::array<std::byte, kPackHeader> pack_header();
bool is_pack_header(std::span<const std::byte> bytes);

void put_record_header(std::span<std::byte, kRecordHeader> out, const PackedExtent& extent);
/// Nothing where the lengths or the codec are impossible; `offset` is the caller's.
std::optional<PackedExtent> read_record_header(std::span<const std::byte, kRecordHeader> in, std::uint32_t offset);

/// The footer and the trailer behind it, for a pack whose footer begins at `at`.
Bytes pack_end(const std::vector<PackedExtent>& extents, std::uint64_t at);

struct PackTrailer {
  std::uint64_t footer = 0;  ///< Offset.
  std::uint32_t count = 0;   ///< Extents.
  Digest hash{};             ///< Of the footer.

  [[nodiscard]] std::size_t footer_bytes() const { return std::size_t{count} * kFooterEntry; }
};
/// Nothing where a pack of `size` bytes cannot end so.
std::optional<PackTrailer> read_trailer(std::span<const std::byte, kPackTrailer> in, std::uint64_t size);

/// Nothing where the hash is wrong or an extent lies outside of the pack.
std::optional<std::vector<PackedExtent>> read_footer(std::span<const std::byte> in, const PackTrailer& trailer);

/// "5f0a3c…": the first 16 digits are enough for people.
std::string short_name(const Digest& name);

}  // namespace roadstead::mover
