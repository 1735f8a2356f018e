#pragma once

// The frames of the wire protocol, version 3, and their encoding. docs/mover.md describes them for people.
// All numbers are little-endian. Reading checks every length before it is believed.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mover/contract/job.h"
#include "mover/entry.h"
#include "mover/hasher.h"
#include "mover/outcome.h"

namespace roadstead::mover {

inline constexpr std::uint32_t kMagic = 0x564d5352;  // "RSMV"
inline constexpr std::uint16_t kVersion = 4;

enum class FrameType : std::uint8_t {
  Hello = 1,       ///< Caller, first on every connection.
  Welcome = 2,     ///< Server, its answer.
  Entries = 3,     ///< Sender, first connection: some entries.
  EntriesEnd = 4,  ///< Sender, first connection: the totals.
  Want = 5,        ///< Receiver, any connection: extents it asks for.
  Extents = 6,     ///< Sender: answers, in the order of the wants of that connection.
  End = 7,         ///< Receiver: no more wants on this connection; sender: and the source had not changed.
  Done = 8,        ///< Receiver, first connection: durable; sender: heard.
  Failure = 9,     ///< Either: why it ends the session.
  Alive = 10,      ///< Either: nothing to say, still here; the receiver's carries how far it is.
  Ping = 11,       ///< Only of a connection probe.
  Pong = 12,
  Known = 13,     ///< Receiver, first connection, before its wants: which extents its repository has.
  Troubled = 14,  ///< Receiver, first connection, when all other connections ended: files it could not get.
  Restated = 15,  ///< Sender, its answer: what those files are now, and others that have changed.
};

inline constexpr std::size_t kFrameHeader = 8;
inline constexpr std::size_t kMaxExtent = std::size_t{4} << 20;    ///< Bytes of a file in one extent.
inline constexpr std::size_t kMaxWants = 512;                      ///< In one frame.
inline constexpr std::size_t kMaxTroubled = std::size_t{1} << 17;  ///< Files in one frame.
inline constexpr std::size_t kMaxKnown = std::size_t{1} << 16;     ///< Extents named in one frame.
inline constexpr std::size_t kMaxAllKnown = std::size_t{1} << 22;  ///< And in all of them.

/// How an extent's bytes are stored.
inline constexpr std::uint8_t kPlain = 0;
inline constexpr std::uint8_t kZstd = 1;

/// An extent that differs is compared by pieces of this size, aligned in the file.
inline constexpr std::size_t kPiece = std::size_t{8} << 10;
inline constexpr std::size_t kMaxPieces = kExtent / kPiece;
using PieceSet = std::array<std::byte, kMaxPieces / 8>;  ///< Bit i of byte i / 8, lowest first: the i-th piece.

struct FrameHeader {
  FrameType type = FrameType::Alive;
  std::uint32_t length = 0;  ///< Of the payload.
};

void put_header(std::span<std::byte, kFrameHeader> out, const FrameHeader& header);

/// ProtocolError for an unknown type, set reserved bits, or a length beyond the type's limit.
Outcome<FrameHeader> read_header(std::span<const std::byte, kFrameHeader> in);

/// The most bytes a frame's payload may have.
std::size_t payload_limit(FrameType type);

using Bytes = std::vector<std::byte>;

/// A whole frame with a payload; the payload must be within its limit.
Bytes frame_of(FrameType type, std::span<const std::byte> payload = {});

// ---- payloads -----------------------------------------------------------------------------------------------------

enum class Purpose : std::uint8_t { Copy = 1, Connect = 2 };
enum class Side : std::uint8_t { Send = 1, Receive = 2 };

using SessionId = std::array<std::byte, 16>;

struct Hello {
  std::uint16_t version = kVersion;
  Purpose purpose = Purpose::Copy;
  Side side = Side::Send;        ///< What the caller does.
  std::uint8_t connections = 1;  ///< How many make up the session.
  std::uint8_t index = 0;        ///< Which of them this is.
  SessionId session{};           ///< Chance, the same for all of them.
};

Bytes encode(const Hello& hello);
Outcome<Hello> decode_hello(std::span<const std::byte> payload);

/// Appends an entry to an Entries payload.
void append(Bytes& out, const Entry& entry);
/// Takes one entry from the front; ProtocolError where it is cut short or not one.
Outcome<Entry> take_entry(std::span<const std::byte>& payload);
/// Adds the entries of a payload to `entries`, which checks them.
Outcome<void> decode_entries(std::span<const std::byte> payload, EntryList& entries);

struct EntriesEnd {
  std::uint32_t entries = 0;
  std::uint64_t data_bytes = 0;
  Told skipped;
  Told unreadable;          ///< Directories of a live source that could not be listed.
  bool live = false;        ///< The source is in use: files may be troubled.
  std::string origin = "";  ///< Of a snapshot: its header as JSON (SnapshotSeen). Empty: a tree.
};

Bytes encode(const EntriesEnd& end);
Outcome<EntriesEnd> decode_entries_end(std::span<const std::byte> payload);

/// Appends the first eight bytes of names of extents.
Bytes encode_known(std::span<const std::uint64_t> prefixes);
Outcome<std::vector<std::uint64_t>> decode_known(std::span<const std::byte> payload);
std::uint64_t prefix_of(const Digest& digest);

/// One extent asked for.
struct Want {
  std::uint32_t file = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::optional<Digest> have;      ///< "This is what I have there."
  bool patchable = false;          ///< With `have`: if it differs, the hashes of its pieces are welcome.
  std::optional<PieceSet> pieces;  ///< Only these, of an extent whose pieces' hashes were told.
  bool whole = false;              ///< The bytes, whatever is known.
};

void append(Bytes& out, const Want& want);
Outcome<std::vector<Want>> decode_wants(std::span<const std::byte> payload);

enum class AnswerKind : std::uint8_t {
  Same = 1,     ///< What you have is right.
  Data = 2,     ///< Here it is, with its hash.
  Zero = 3,     ///< It is all zero bytes.
  Have = 4,     ///< Your repository has it under this hash (you said so in Known).
  Pieces = 5,   ///< It differs: its hash, and 8 bytes of hash for each piece of kPiece bytes as payload.
  Patch = 6,    ///< The pieces asked for, one after another, and the hash of the whole extent.
  Trouble = 7,  ///< Live sources: the file is not what it was, or cannot be read. Do not ask again before Restated.
};

/// What stands before each extent's payload in an Extents frame.
struct AnswerHeader {
  AnswerKind kind = AnswerKind::Same;
  std::uint8_t codec = kPlain;
  std::uint32_t file = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;  ///< Bytes of the file.
  std::uint32_t stored = 0;  ///< Bytes of payload that follow; Data with kPlain: the same as length.
  Digest hash{};             ///< Of the extent's bytes; zero for Same, Zero and Trouble.
};

inline constexpr std::size_t kAnswerHeader = 56;

void put_answer(std::span<std::byte, kAnswerHeader> out, const AnswerHeader& answer);
/// Takes one answer from the front of an Extents payload; its payload is what stands there then.
Outcome<AnswerHeader> take_answer(std::span<const std::byte>& payload);

struct Tally {
  std::uint64_t bytes_done = 0;
  std::uint64_t files_done = 0;
  std::uint64_t bytes_verified = 0;
};

/// What became of a file that was troubled, or has changed since it was announced.
struct Restated {
  std::uint32_t file = 0;
  std::string unreadable{};      ///< Why it cannot be had; empty: it can, and is this now:
  std::optional<Entry> entry{};  ///< Absent with `unreadable`. Parent and name are the announced ones.
  bool final = false;            ///< Nothing is asked for again: told only (it changed once more).
};

/// At most kMaxTroubled of them; a frame without any ends the list.
Bytes encode(std::span<const std::uint32_t> troubled);
Outcome<std::vector<std::uint32_t>> decode_troubled(std::span<const std::byte> payload);
/// To a frame's payload; a frame without any says that all was told.
void append(Bytes& out, const Restated& restated);
Outcome<std::vector<Restated>> decode_restated(std::span<const std::byte> payload);

Bytes encode(const Tally& tally);
Outcome<Tally> decode_tally(std::span<const std::byte> payload);

Bytes encode(const Failure& failure);
Outcome<Failure> decode_failure(std::span<const std::byte> payload);

}  // namespace roadstead::mover
