#include "mover/staged_sink.h"

#include "mover/staged_tree.h"

namespace roadstead::mover {
namespace {

class StagedThread final : public TreeThread {
 public:
  StagedThread(StagedTree& tree, const EntryList& entries) : TreeThread(entries), files_(tree, entries) {}

  Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) override { return files_.open(file); }

  Outcome<void> complete(std::uint32_t file, FileState& state) override {
    return files_.complete(file, static_cast<TreeFile&>(state));
  }

 private:
  StagedFiles files_;
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
