#include "mover/repository/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "operator/base/hash.h"

namespace roadstead::mover {
namespace {

constexpr std::array<char, 8> kPackMagic = {'R', 'D', 'S', 'T', 'P', 'A', 'C', 'K'};
constexpr std::array<char, 8> kEndMagic = {'R', 'D', 'S', 'T', 'P', 'E', 'N', 'D'};
constexpr std::uint32_t kPackVersion = 2;

template <class T>
void put(std::byte*& out, const T& value) {
  std::memcpy(out, &value, sizeof value);
  out += sizeof value;
}

template <class T>
T take(const std::byte*& in) {
  T value{};
  std::memcpy(&value, in, sizeof value);
  in += sizeof value;
  return value;
}

bool is_possible(const PackedExtent& extent) {
  const bool known_codec =
      extent.codec == kZstd || is_patch(extent.codec) || (extent.codec == kPlain && extent.stored == extent.length);
  const std::size_t most = is_patch(extent.codec) ? kExtent : kMaxExtent;  // sets of pieces are for no more
  return known_codec && extent.length >= 1 && extent.length <= most && extent.stored >= 1 &&
         extent.stored <= extent.length;
}

void put_codec(std::byte*& out, std::uint8_t codec) { put(out, std::array<std::uint8_t, 4>{codec, 0, 0, 0}); }

}  // namespace

std::string name_of(PackId id) { return fmt::format("{:016x}", id); }

std::optional<PackId> pack_id_of(std::string_view name) {
  PackId id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id, 16);
  if (error != std::errc() || name_of(id) != name) return std::nullopt;
  return id;
}

PackId random_pack_id() { return *pack_id_of(random_hex(sizeof(PackId))); }

std::array<std::byte, kPackHeader> pack_header() {
  std::array<std::byte, kPackHeader> out{};
  std::byte* at = out.data();
  put(at, kPackMagic);
  put(at, kPackVersion);
  return out;
}

bool is_pack_header(std::span<const std::byte> bytes) {
  const auto right = pack_header();
  return bytes.size() >= right.size() && std::memcmp(bytes.data(), right.data(), right.size()) == 0;
}

void put_record_header(std::span<std::byte, kRecordHeader> out, const PackedExtent& extent) {
  std::byte* at = out.data();
  put(at, extent.name);
  put(at, extent.length);
  put(at, extent.stored);
  put_codec(at, extent.codec);
}

std::optional<PackedExtent> read_record_header(std::span<const std::byte, kRecordHeader> in, std::uint32_t offset) {
  const std::byte* at = in.data();
  PackedExtent extent;
  extent.name = take<Digest>(at);
  extent.offset = offset;
  extent.length = take<std::uint32_t>(at);
  extent.stored = take<std::uint32_t>(at);
  extent.codec = take<std::uint8_t>(at);
  if (!is_possible(extent)) return std::nullopt;
  return extent;
}

Bytes pack_end(const std::vector<PackedExtent>& extents, std::uint64_t at) {
  const auto patches = static_cast<std::uint32_t>(
      std::count_if(extents.begin(), extents.end(), [](const PackedExtent& extent) { return is_patch(extent.codec); }));
  const std::size_t footer = PackTrailer{at, static_cast<std::uint32_t>(extents.size()), patches, {}}.footer_bytes();
  Bytes out(footer + kPackTrailer);
  std::byte* to = out.data();
  for (const PackedExtent& extent : extents) {
    put(to, extent.name);
    put(to, extent.offset);
    put(to, extent.length);
    put(to, extent.stored);
    put_codec(to, extent.codec);
  }
  for (const PackedExtent& extent : extents)
    if (is_patch(extent.codec)) put(to, extent.base);
  put(to, at);
  put(to, static_cast<std::uint32_t>(extents.size()));
  put(to, patches);
  put(to, Hasher().of(std::span(out).first(footer)));
  put(to, kEndMagic);
  return out;
}

std::optional<PackTrailer> read_trailer(std::span<const std::byte, kPackTrailer> in, std::uint64_t size) {
  const std::byte* at = in.data();
  PackTrailer trailer;
  trailer.footer = take<std::uint64_t>(at);
  trailer.count = take<std::uint32_t>(at);
  trailer.patches = take<std::uint32_t>(at);
  trailer.hash = take<Digest>(at);
  const bool fits = size <= kMaxPackBytes && trailer.footer >= kPackHeader && trailer.footer <= size &&
                    size - trailer.footer == trailer.footer_bytes() + kPackTrailer;
  if (!fits || take<std::array<char, 8>>(at) != kEndMagic) return std::nullopt;
  return trailer;
}

std::optional<PackedExtent> read_footer_entry(std::span<const std::byte, kFooterEntry> in) {
  const std::byte* at = in.data();
  PackedExtent extent;
  extent.name = take<Digest>(at);
  extent.offset = take<std::uint32_t>(at);
  extent.length = take<std::uint32_t>(at);
  extent.stored = take<std::uint32_t>(at);
  extent.codec = take<std::uint8_t>(at);
  if (!is_possible(extent) || extent.offset < kPackHeader) return std::nullopt;
  return extent;
}

std::optional<std::vector<PackedExtent>> read_footer(std::span<const std::byte> in, const PackTrailer& trailer) {
  if (in.size() != trailer.footer_bytes() || Hasher().of(in) != trailer.hash) return std::nullopt;
  std::vector<PackedExtent> extents;
  extents.reserve(trailer.count);
  std::span<const std::byte> bases = in.subspan(std::size_t{trailer.count} * kFooterEntry);
  for (std::size_t i = 0; i < trailer.count; ++i) {
    auto extent = read_footer_entry(in.subspan(i * kFooterEntry).first<kFooterEntry>());
    if (!extent || extent->offset + extent->record_bytes() > trailer.footer) return std::nullopt;
    if (is_patch(extent->codec)) {
      if (bases.empty()) return std::nullopt;
      std::copy_n(bases.begin(), kFooterBase, extent->base.begin());
      bases = bases.subspan(kFooterBase);
    }
    extents.push_back(*extent);
  }
  if (!bases.empty()) return std::nullopt;
  return extents;
}

std::string short_name(const Digest& name) {
  const std::string hex = to_hex({reinterpret_cast<const char*>(name.data()), name.size()});
  return hex.substr(0, 16) + "…";
}

}  // namespace roadstead::mover
