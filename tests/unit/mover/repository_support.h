#pragma once

// Small trees to keep in a repository, without files: what a backup would have read.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "mover/piece_hash.h"
#include "mover/repository/manifest.h"
#include "scratch.h"

namespace roadstead::mover::testing {

/// A tree of files in one directory, with their bytes.
using Content = std::map<std::string, std::string>;

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Digest digest_of(std::string_view text) { return Hasher().of(bytes_of(text)); }

/// The pieces of a file's bytes with their names.
inline std::vector<std::pair<Digest, std::string_view>> extents_of(std::string_view text) {
  std::vector<std::pair<Digest, std::string_view>> extents;
  for (std::size_t at = 0; at < text.size(); at += kExtent) {
    const std::string_view piece = text.substr(at, kExtent);
    const bool zero = piece.find_first_not_of('\0') == std::string_view::npos;
    extents.emplace_back(zero ? kZeroDigest : digest_of(piece), piece);
  }
  return extents;
}

inline Entry file_entry(std::uint32_t parent, std::string name, std::uint64_t size) {
  return {.type = EntryType::File, .parent = parent, .name = std::move(name), .mode = 0644, .size = size, .stamp = 7};
}

inline EntryList listed(const Content& content) {
  EntryList entries;
  EXPECT_TRUE(entries.add({.type = EntryType::Directory, .mode = 0755}));
  for (const auto& [name, bytes] : content) EXPECT_TRUE(entries.add(file_entry(0, name, bytes.size())));
  return entries;
}

/// Adds a text as one extent, or as many as it has; every other one is packed where that makes it smaller.
inline Outcome<void> add(PackWriter& writer, std::string_view text) {
  Packer packer;
  PieceHasher pieces;
  for (const auto& [digest, piece] : extents_of(text)) {
    const auto packed = std::to_integer<unsigned>(digest[0]) % 2 == 0 ? packer.pack(bytes_of(piece)) : std::nullopt;
    const auto length = static_cast<std::uint32_t>(piece.size());
    EXPECT_TRUE(pieces.of(bytes_of(piece)) == digest || digest == kZeroDigest);
    auto added = packed ? writer.add(digest, kZstd, length, *packed, pieces.pieces())
                        : writer.add(digest, kPlain, length, bytes_of(piece), pieces.pieces());
    if (!added) return added;
  }
  return {};
}

/// The pieces in which two extents of the same length differ.
inline PieceSet differing(std::string_view old, std::string_view text) {
  PieceSet pieces{};
  for (std::size_t at = 0; at < text.size(); at += kPiece)
    if (text.substr(at, kPiece) != old.substr(at, kPiece)) insert(pieces, at / kPiece);
  return pieces;
}

/// The text, in which these pieces are new, as a patch of what it was.
inline std::optional<Patch> patch_of(PatchMaker& maker, const PatchBase& old, const PieceSet& changed,
                                     std::string_view text, bool packed) {
  Bytes arrived;
  for (const Range& range : ranges_of(changed, text.size())) {
    const auto part = bytes_of(text).subspan(range.offset, range.length);
    arrived.insert(arrived.end(), part.begin(), part.end());
  }
  PieceHasher hasher;
  const Digest name = hasher.of(bytes_of(text));
  return maker.make(old, text.size(), {old.base, name, changed, arrived, packed, hasher.pieces()});
}

/// Likewise, where the repository has `old` in its place: as patches of that where they are small.
inline Outcome<void> add(Repository& repository, PackWriter& writer, std::string_view old, std::string_view text) {
  if (old.size() != text.size()) return add(writer, text);
  ExtentReader reader(repository);
  PatchMaker patches;
  const auto before = extents_of(old), after = extents_of(text);
  for (std::size_t i = 0; i < after.size(); ++i) {
    const auto& [name, bytes] = after[i];
    const auto base = reader.patch_base(before[i].first);
    const auto patch =
        base ? patch_of(patches, *base, differing(before[i].second, bytes), bytes, i % 2 == 0) : std::nullopt;
    auto added = patch ? writer.add_patch(name, static_cast<std::uint32_t>(bytes.size()), *patch) : add(writer, bytes);
    if (!added) return added;
  }
  return {};
}

/// What a backup does: brings what is missing or differs from the content of the one before it, then commits.
inline Outcome<SnapshotSeen> back_up(Repository& repository, const std::string& id, const Content& content,
                                     const Content& previous = {}, Time as_of = {}) {
  {
    PackWriter writer(repository);
    for (const auto& [name, bytes] : content) {
      const auto old = previous.find(name);
      auto added = old == previous.end() ? add(writer, bytes) : add(repository, writer, old->second, bytes);
      if (!added) return failed(added.error());
    }
    if (auto finished = writer.finish(); !finished) return failed(finished.error());
  }
  const EntryList entries = listed(content);
  std::vector<Digest> digests;
  for (const auto& [name, bytes] : content)
    for (const auto& [digest, piece] : extents_of(bytes)) digests.push_back(digest);
  SnapshotSeen header;
  header.id = id;
  header.data_as_of = as_of;
  return commit(repository, header, entries, [&](std::uint32_t file) {
    return std::span<const Digest>(digests).subspan(entries[file].first_extent, entries.extents_of(file));
  });
}

/// What a restore does.
inline Outcome<Content> restored(const Repository& repository, const std::string& id) {
  const auto manifest = read_manifest(repository.directory(), id);
  if (!manifest) return failed(manifest.error());
  ExtentReader reader(repository);
  Content content;
  for (std::uint32_t file = 1; file < manifest->entries.size(); ++file) {
    const Node& node = manifest->entries[file];
    std::string& bytes = content[std::string(node.name())];
    for (std::uint32_t i = 0; i < manifest->entries.extents_of(file); ++i) {
      const Digest& digest = manifest->digests[node.first_extent + i];
      if (digest == kZeroDigest) {
        bytes.resize(std::min<std::uint64_t>(bytes.size() + kExtent, node.size));
        continue;
      }
      const auto plain = reader.plain(digest);
      if (!plain) return failed(plain.error());
      bytes += text_of(*plain);
    }
  }
  return content;
}

/// A value, or the test says why not.
template <class T>
T must(Outcome<T> outcome) {
  if (!outcome) throw std::runtime_error(outcome.error().reason + ": " + outcome.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

inline Repository opened(const std::string& path, Use use) { return must(Repository::open(path, use)); }

}  // namespace roadstead::mover::testing
