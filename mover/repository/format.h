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

#include "mover/outcome.h"
#include "mover/piece_hash.h"
#include "mover/wire.h"

namespace roadstead::mover {

inline constexpr std::string_view kFormatText = "roadstead-repository 2\n";

/// A pack's name is its number as 16 hex digits; the number is chance.
using PackId = std::uint64_t;
std::string name_of(PackId id);
std::optional<PackId> pack_id_of(std::string_view name);
PackId random_pack_id();

inline constexpr std::size_t kPackHeader = 16;
inline constexpr std::size_t kRecordHeader = 44;
inline constexpr std::size_t kFooterEntry = 48;
inline constexpr std::size_t kFooterBase = 32;
inline constexpr std::size_t kPackTrailer = 56;
/// A pack is closed when it has so many bytes, or so many extents: the list of one pack is held in memory at a time.
inline constexpr std::uint64_t kPackBytes = std::uint64_t{64} << 20;
inline constexpr std::size_t kPackExtents = std::size_t{1} << 15;
/// Offsets in a pack are 32 bits; no writer comes near.
inline constexpr std::uint64_t kMaxPackBytes = std::uint64_t{1} << 31;

/// Codecs of records beside kPlain and kZstd: pieces that replace those of another extent of the same length, the base,
/// which is stored whole. They stay in repositories and never travel.
inline constexpr std::uint8_t kPatch = 2;
inline constexpr std::uint8_t kZstdPatch = 3;
constexpr bool is_patch(std::uint8_t codec) { return codec == kPatch || codec == kZstdPatch; }

/// An extent is patched where at most one of so many of its pieces differs from the base. With more, the base keeps
/// bytes that nobody needs, and reading takes more than it saves.
inline constexpr std::size_t kMostPatched = 4;

/// An extent in a pack.
struct PackedExtent {
  Digest name{};
  std::uint32_t offset = 0;  ///< Of its record in the pack.
  std::uint32_t length = 0;  ///< Bytes of the file: 1 to kMaxExtent.
  std::uint32_t stored = 0;  ///< Bytes that follow the record's header.
  std::uint8_t codec = kPlain;
  Digest base{};  ///< Patches only. Not in the record's header, but in what is stored.

  /// Behind the stored bytes: the hashes of the extent's pieces, if it may come to be a base.
  [[nodiscard]] std::size_t hash_bytes() const {
    const std::size_t pieces = pieces_of(length);
    return is_patch(codec) || pieces < kMostPatched ? 0 : pieces * sizeof(Digest);
  }
  [[nodiscard]] std::uint64_t record_bytes() const { return kRecordHeader + stored + hash_bytes(); }
  bool operator==(const PackedExtent&) const = default;
};

std::array<std::byte, kPackHeader> pack_header();
bool is_pack_header(std::span<const std::byte> bytes);

void put_record_header(std::span<std::byte, kRecordHeader> out, const PackedExtent& extent);
/// Nothing where the lengths or the codec are impossible; `offset` is the caller's. A patch's base is left open.
std::optional<PackedExtent> read_record_header(std::span<const std::byte, kRecordHeader> in, std::uint32_t offset);

/// The footer and the trailer behind it, for a pack whose footer begins at `at`.
Bytes pack_end(const std::vector<PackedExtent>& extents, std::uint64_t at);

struct PackTrailer {
  std::uint64_t footer = 0;   ///< Offset.
  std::uint32_t count = 0;    ///< Extents,
  std::uint32_t patches = 0;  ///< and how many of them are patches.
  Digest hash{};              ///< Of the footer.

  [[nodiscard]] std::size_t footer_bytes() const {
    return std::size_t{count} * kFooterEntry + std::size_t{patches} * kFooterBase;
  }
};
/// Nothing where a pack of `size` bytes cannot end so.
std::optional<PackTrailer> read_trailer(std::span<const std::byte, kPackTrailer> in, std::uint64_t size);

/// An entry of a footer, a patch's base left open; nothing where it is none.
std::optional<PackedExtent> read_footer_entry(std::span<const std::byte, kFooterEntry> in);

/// Nothing where the hash is wrong, an extent lies outside of the pack, or the patches are not as many.
std::optional<std::vector<PackedExtent>> read_footer(std::span<const std::byte> in, const PackTrailer& trailer);

/// "5f0a3c…": the first 16 digits are enough for people.
std::string short_name(const Digest& name);

}  // namespace roadstead::mover
