#include "mover/staged_sink.h"

#include "mover/staged_tree.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kMaxKept = kExtent;

struct StagedState final : FileState {
  explicit StagedState(StagedFile opened) : file(std::move(opened)) {}
  StagedFile file;
};

StagedFile& staged(FileState& state) { return static_cast<StagedState&>(state).file; }

bool read_whole(const Fd& fd, std::span<std::byte> out, std::uint64_t offset) {
  return read_at(fd.get(), out, offset) == static_cast<ssize_t>(out.size());
}

class StagedThread final : public SinkThread {
 public:
  StagedThread(StagedTree& tree, const EntryList& entries) : entries_(entries), files_(tree, entries) {}

  Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) override {
    auto opened = files_.open(file);
    if (!opened) return failed(opened.error());
    if (!*opened) return nullptr;
    return std::make_unique<StagedState>(std::move(**opened));
  }

  Outcome<std::optional<Digest>> look(const Spot& spot, FileState& state, Bytes& kept) override {
    const StagedFile& file = staged(state);
    if (file.has_content) {
      scratch_.resize(kMaxKept);
      const std::span out = std::span(scratch_).first(spot.length);
      const off_t data = ::lseek(file.file.get(), static_cast<off_t>(spot.offset), SEEK_DATA);
      if (data >= 0 && static_cast<std::uint64_t>(data) < spot.offset + spot.length &&
          read_whole(file.file, out, spot.offset))
        return hasher_.of(out);
    }
    if (!file.old || spot.offset + spot.length > file.old_size) return std::nullopt;
    kept.resize(spot.length);
    if (read_whole(file.old, kept, spot.offset)) return hasher_.of(kept);
    kept.clear();
    return std::nullopt;
  }

  Outcome<void> same(const Spot& spot, FileState& state, const Digest&, std::span<const std::byte> kept) override {
    return kept.empty() ? Outcome<void>{} : write(spot, state, kept);
  }

  Outcome<bool> read_old(const Spot& spot, FileState& state, const Digest&, std::span<std::byte> out) override {
    return read_whole(staged(state).file, out, spot.offset);
  }

  Outcome<void> put(const Spot& spot, FileState& state, const Extent& extent) override {
    return write(spot, state, extent.plain);
  }

  Outcome<void> complete(std::uint32_t file, FileState& state) override { return files_.complete(file, staged(state)); }

 private:
  Outcome<void> write(const Spot& spot, FileState& state, std::span<const std::byte> data) {
    if (const int error = write_at(staged(state).file.get(), data, spot.offset))
      return failed_call(error, "write {}", entries_.path_of(spot.file));
    return {};
  }

  const EntryList& entries_;
  StagedFiles files_;
  Hasher hasher_;
  Bytes scratch_;
};

class StagedSink final : public Sink {
 public:
  explicit StagedSink(StagedTree tree) : tree_(std::move(tree)) {}

  Outcome<void> prepare(const EntryList& entries, const EntriesEnd& announced, const Tick& tick) override {
    if (announced.live)
      return failed(protocol_error("the peer's source is in use; a tree is only built from one at rest"));
    entries_ = &entries;
    if (auto prepared = tree_.prepare(entries, tick); !prepared) return prepared;
    return tree_.check_space(entries);
  }

  std::unique_ptr<SinkThread> thread() override { return std::make_unique<StagedThread>(tree_, *entries_); }

  Outcome<void> restate(std::uint32_t) override { return failed(protocol_error("a file at rest cannot have changed")); }
  Outcome<void> leave_out(std::uint32_t) override { return restate(0); }

  Outcome<void> finish(const Changes&, const CopyData&, const Tick& tick) override {
    return tree_.finish(*entries_, tick);
  }

  void abandon() override { tree_.journal().flush(); }
  void tell(CopyData& data) const override { data.tree_inode = tree_.inode(); }
  [[nodiscard]] std::uint64_t free_bytes() const override { return tree_.free_bytes(); }

 private:
  StagedTree tree_;
  const EntryList* entries_ = nullptr;
};

}  // namespace

Outcome<std::unique_ptr<Sink>> open_staged_sink(const Target& target) {
  auto tree = StagedTree::open(target);
  if (!tree) return failed(tree.error());
  return std::make_unique<StagedSink>(std::move(*tree));
}

}  // namespace roadstead::mover
