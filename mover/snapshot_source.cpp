#include "mover/snapshot_source.h"

#include <algorithm>

#include "mover/repository/manifest.h"
#include "mover/repository/repository.h"

namespace roadstead::mover {
namespace {

class SnapshotReader final : public TreeReader {
 public:
  SnapshotReader(const Repository& repository, const Manifest& manifest) : manifest_(manifest), extents_(repository) {}

  Outcome<bool> find(const Spot& spot, std::span<std::byte>, bool) override {
    hash_ = manifest_.digests[manifest_.entries[spot.file].first_extent + spot.index];
    length_ = spot.length;
    return true;
  }

  [[nodiscard]] const Digest& hash() const override { return hash_; }
  [[nodiscard]] bool is_zero() override { return hash_ == kZeroDigest; }

  Outcome<std::span<const Digest>> pieces() override {
    const auto known = extents_.pieces(hash_, pieces_);
    if (!known) return failed(known.error());
    if (!*known) {
      const auto bytes = plain();
      if (!bytes) return failed(bytes.error());
      static_cast<void>(hasher_.of(*bytes));
      pieces_.assign(hasher_.pieces().begin(), hasher_.pieces().end());
    }
    if (pieces_.size() != pieces_of(length_)) return failed(wrong_length());
    return std::span<const Digest>(pieces_);
  }

  Outcome<std::span<const std::byte>> plain() override {
    auto plain = extents_.plain(hash_);
    if (plain && plain->size() != length_) return failed(wrong_length());
    return plain;
  }

  Outcome<StoredBytes> stored() override {
    const auto stored = extents_.stored(hash_);
    if (!stored) return failed(stored.error());
    if (stored->length != length_) return failed(wrong_length());
    return StoredBytes{stored->codec, stored->bytes};
  }

  Outcome<bool> read(const Spot& spot, const std::vector<Range>& ranges, Bytes& out) override {
    if (auto found = find(spot, {}, true); !found) return found;
    out.clear();
    if (is_zero()) {
      for (const Range& range : ranges) out.resize(out.size() + range.length);
      return true;
    }
    if (auto got = extents_.read(hash_, ranges, out); !got) return failed(got.error());
    return true;
  }

 private:
  [[nodiscard]] Failure wrong_length() const {
    return {"DamagedSnapshot", fmt::format("snapshot {} names an extent of another length", manifest_.header.id),
            "verify the repository, and restore another snapshot"};
  }

  const Manifest& manifest_;
  ExtentReader extents_;
  Digest hash_{};
  std::size_t length_ = 0;
  PieceHasher hasher_;
  std::vector<Digest> pieces_;
};

class SnapshotSource final : public TreeSource {
 public:
  SnapshotSource(Repository repository, Manifest manifest)
      : repository_(std::move(repository)), manifest_(std::move(manifest)) {}

  [[nodiscard]] const EntryList& entries() const override { return manifest_.entries; }

  [[nodiscard]] EntriesEnd end_of_entries() const override {
    return {entries().size(), entries().data_bytes(), {}, {}, false, to_json(manifest_.header)};
  }

  std::unique_ptr<TreeReader> reader() override { return std::make_unique<SnapshotReader>(repository_, manifest_); }
  Outcome<void> restate(const std::vector<std::uint32_t>&, const Tell&, const Tick&) override { return {}; }
  [[nodiscard]] const Changes& changes() const override { return none_; }

 private:
  Repository repository_;
  Manifest manifest_;
  Changes none_;
};

}  // namespace

Outcome<std::unique_ptr<TreeSource>> open_snapshot_source(const std::string& path, const std::string& id) {
  auto repository = Repository::open(path, Use::Read);
  if (!repository) return failed(repository.error());
  auto manifest = read_manifest(repository->directory(), id);
  if (!manifest) return failed(manifest.error());
  return std::make_unique<SnapshotSource>(std::move(*repository), std::move(*manifest));
}

}  // namespace roadstead::mover
