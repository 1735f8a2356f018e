#pragma once

// What building a staged tree and changing a volume's own tree have in common.

#include <sys/stat.h>

#include <functional>
#include <vector>

#include "mover/entry.h"
#include "mover/files.h"
#include "mover/piece_hash.h"
#include "mover/sink.h"

namespace roadstead::mover {

/// What a file's end or a directory costs at least.
inline constexpr std::uint64_t kBlock = 4096;
inline std::uint64_t rounded_up(std::uint64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }
inline std::uint64_t allocated_of(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

/// Whether what lies there can become the entry without being removed first.
bool fits(const Node& entry, const struct stat& status);

/// Called with each entry of a directory that lies there and fits.
using Present = std::function<Outcome<void>(std::uint32_t id, const struct stat& status)>;

/// Removes from the open directory of entry `id` what is not announced or does not fit.
Outcome<void> remove_strangers(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick,
                               const Present& present);

/// Makes a symbolic link, device or FIFO with its metadata; one that is right stays.
Outcome<void> make_special(const EntryList& entries, std::uint32_t id, int directory);

/// Gives an open file the size of its entry, and makes holes where it has data and the entry has none.
Outcome<void> shape_file(int fd, const EntryList& entries, std::uint32_t file);

/// Makes the hard links that are not there yet.
Outcome<void> link_names(const EntryList& entries, int root, const Tick& tick);

/// Gives directories their metadata, deepest first: nothing changes a directory after it got its times.
Outcome<void> dress_directories(const EntryList& entries, int root, const Tick& tick);

/// syncfs; `tick` is called meanwhile.
Outcome<void> sync_file_system(int fd, const Tick& tick);

/// No hole between these places of a file.
bool is_all_data(int fd, std::uint64_t offset, std::uint64_t length);

/// A file of a tree while its extents arrive.
struct TreeFile final : FileState {
  Fd file;
  Fd old;  ///< What to begin with: another file, which a live application may write to.
  std::uint64_t old_size = 0;
  bool has_content = false;      ///< `file` holds bytes that may be right.
  bool bare = false;             ///< It was just made where no attributes are inherited.
  std::vector<Digest> known;     ///< Of `file`, by pieces of kExtent from its beginning,
  std::uint64_t known_size = 0;  ///< when it was so long.
};

/// The part of a sink's thread that compares and writes files of a tree.
class TreeThread : public SinkThread {
 public:
  explicit TreeThread(const EntryList& entries) : entries_(entries) {}

  Outcome<std::optional<Digest>> look(const Spot& spot, FileState& state, Seen& seen) override;
  Outcome<void> same(const Spot& spot, FileState& state, const Digest& hash, std::span<const std::byte> kept) override;
  Outcome<bool> patch(const Spot& spot, FileState& state, const Patched& patched) override;
  Outcome<bool> read_old(const Spot& spot, FileState& state, const Digest& hash, std::span<std::byte> out) override;
  Outcome<void> put(const Spot& spot, FileState& state, const Extent& extent) override;

 protected:
  [[nodiscard]] const EntryList& entries() const { return entries_; }
  /// Room for one extent.
  std::span<std::byte> scratch(std::size_t bytes);

 private:
  Digest name(std::span<const std::byte> bytes, Seen& seen);
  Outcome<void> write(const Spot& spot, TreeFile& file, std::span<const std::byte> data);
  Outcome<void> write_part(const Spot& spot, const TreeFile& file, std::span<const std::byte> data, std::size_t begin,
                           std::size_t end);
  Outcome<void> write_at_spot(const Spot& spot, const TreeFile& file, std::span<const std::byte> data,
                              std::size_t begin);

  const EntryList& entries_;
  PieceHasher hasher_;
  Bytes scratch_;
};

}  // namespace roadstead::mover
