#include "mover/wire.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace roadstead::mover {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are in memory");

constexpr std::size_t kMaxText = 4096;  // of a failure's sentence
constexpr std::uint8_t kSparse = 1;     // an entry's flags
constexpr std::uint8_t kAttributes = 2;
constexpr std::uint8_t kHas = 1;  // a want's flags
constexpr std::uint8_t kPatchable = 2;
constexpr std::uint8_t kPieces = 4;
constexpr std::uint8_t kWhole = 8;
constexpr std::uint8_t kWantFlags = 15;
constexpr std::uint8_t kUnreadable = 1;  // a restated file's flags
constexpr std::uint8_t kFinal = 2;

template <class T>
void put(Bytes& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void put_text(Bytes& out, std::string_view text, std::size_t limit) {
  text = text.substr(0, limit);
  put(out, static_cast<std::uint16_t>(text.size()));
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <std::size_t N>
void put_array(Bytes& out, const std::array<std::byte, N>& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Takes values from the front; once something is missing, everything after is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  T take() {
    T value{};
    if (need(sizeof value)) {
      std::memcpy(&value, rest_.data(), sizeof value);
      rest_ = rest_.subspan(sizeof value);
    }
    return value;
  }

  std::string text(std::size_t limit) {
    const auto length = take<std::uint16_t>();
    if (length > limit) ok_ = false;
    return bytes(length);
  }

  std::string bytes(std::size_t length) {
    if (!need(length)) return {};
    std::string value(reinterpret_cast<const char*>(rest_.data()), length);
    rest_ = rest_.subspan(length);
    return value;
  }

  [[nodiscard]] bool need(std::size_t bytes) {
    ok_ = ok_ && rest_.size() >= bytes;
    return ok_;
  }
  void refuse() { ok_ = false; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  /// Everything was there and nothing is left over.
  [[nodiscard]] bool whole() const { return ok_ && rest_.empty(); }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }

 private:
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

tl::unexpected<Failure> malformed(std::string_view what) {
  return failed(protocol_error(fmt::format("the peer sent a malformed {}", what)));
}

std::vector<Range> take_ranges(Reader& reader) {
  const auto count = reader.take<std::uint32_t>();
  std::vector<Range> ranges;
  if (count > kMaxRanges) reader.refuse();
  if (!reader.need(count * sizeof(Range))) return ranges;
  ranges.resize(count);
  for (Range& range : ranges) {
    range.offset = reader.take<std::uint64_t>();
    range.length = reader.take<std::uint64_t>();
  }
  return ranges;
}

std::vector<Attribute> take_attributes(Reader& reader) {
  std::vector<Attribute> attributes;
  std::size_t bytes = 0;
  for (auto count = reader.take<std::uint16_t>(); count > 0 && reader.ok(); --count) {
    Attribute one{reader.text(kMaxName), {}};
    const auto length = reader.take<std::uint32_t>();
    bytes += one.name.size() + length;
    if (bytes > kMaxAttributeBytes) reader.refuse();
    one.value = reader.bytes(length);
    attributes.push_back(std::move(one));
  }
  return attributes;
}

bool is_device(EntryType type) { return type == EntryType::CharacterDevice || type == EntryType::BlockDevice; }

/// What stands in the eight bytes that are a file's size.
std::uint64_t size_field(const Entry& entry) {
  if (entry.type == EntryType::HardLink) return entry.link_to;
  return is_device(entry.type) ? std::uint64_t{entry.major} << 32 | entry.minor : entry.size;
}

Entry take_one_entry(Reader& reader) {
  Entry entry;
  entry.type = static_cast<EntryType>(reader.take<std::uint8_t>());
  const auto flags = reader.take<std::uint8_t>();
  if ((flags & ~(kSparse | kAttributes)) != 0) reader.refuse();
  entry.parent = reader.take<std::uint32_t>();
  entry.mode = reader.take<std::uint16_t>();
  entry.uid = reader.take<std::uint32_t>();
  entry.gid = reader.take<std::uint32_t>();
  entry.mtime_seconds = reader.take<std::int64_t>();
  entry.mtime_nanos = reader.take<std::uint32_t>();
  entry.size = reader.take<std::uint64_t>();
  entry.stamp = reader.take<std::uint64_t>();
  entry.name = reader.text(kMaxName);
  if (entry.type == EntryType::HardLink) entry.link_to = static_cast<std::uint32_t>(entry.size);
  if (is_device(entry.type)) {
    entry.major = static_cast<std::uint32_t>(entry.size >> 32);
    entry.minor = static_cast<std::uint32_t>(entry.size);
  }
  if (entry.type == EntryType::SymbolicLink) entry.link_target = reader.text(kMaxLinkTarget);
  entry.sparse = (flags & kSparse) != 0;
  if (entry.sparse) entry.ranges = take_ranges(reader);
  if (entry.sparse && entry.type != EntryType::File) reader.refuse();
  if ((flags & kAttributes) != 0) entry.attributes = take_attributes(reader);
  return entry;
}

/// The most bytes that may follow an answer.
std::uint32_t most_stored(const AnswerHeader& answer) {
  switch (answer.kind) {
    case AnswerKind::Data:
    case AnswerKind::Patch:
      return answer.length;
    case AnswerKind::Pieces:
      return static_cast<std::uint32_t>(kMaxPieces * sizeof(std::uint64_t));
    default:
      return 0;
  }
}

void put_told(Bytes& out, const Told& told) {
  put(out, told.count);
  put(out, static_cast<std::uint16_t>(told.names.size()));
  for (const std::string& name : told.names) put_text(out, name, kMaxText);
}

Told take_told(Reader& reader) {
  Told told;
  told.count = reader.take<std::uint64_t>();
  for (auto count = reader.take<std::uint16_t>(); count > 0 && reader.ok(); --count)
    told.names.push_back(reader.text(kMaxText));
  return told;
}

}  // namespace

std::size_t payload_limit(FrameType type) {
  switch (type) {
    case FrameType::Entries:
      return std::size_t{2} << 20;
    case FrameType::EntriesEnd:
      return std::size_t{1} << 18;
    case FrameType::Want:
      return kMaxWants * 64;
    case FrameType::Extents:
      return kMaxExtent + (std::size_t{1} << 20);
    case FrameType::Failure:
      return 4 * kMaxText;
    case FrameType::Known:
      return kMaxKnown * sizeof(std::uint64_t);
    case FrameType::Troubled:
      return kMaxTroubled * sizeof(std::uint32_t);
    case FrameType::Restated:
      return std::size_t{2} << 20;
    case FrameType::Hello:
    case FrameType::Welcome:
    case FrameType::Alive:
    case FrameType::End:
    case FrameType::Done:
    case FrameType::Ping:
    case FrameType::Pong:
      return 64;
  }
  return 0;
}

void put_header(std::span<std::byte, kFrameHeader> out, const FrameHeader& header) {
  out[0] = static_cast<std::byte>(header.type);
  out[1] = out[2] = out[3] = std::byte{0};  // reserved
  std::memcpy(out.data() + 4, &header.length, sizeof header.length);
}

Outcome<FrameHeader> read_header(std::span<const std::byte, kFrameHeader> in) {
  FrameHeader header;
  header.type = static_cast<FrameType>(in[0]);
  std::memcpy(&header.length, in.data() + 4, sizeof header.length);
  const auto number = std::to_integer<int>(in[0]);
  if (number < 1 || number > static_cast<int>(FrameType::Restated))
    return failed(protocol_error(fmt::format("the peer sent a frame of unknown type {}", number)));
  if (in[1] != std::byte{0} || in[2] != std::byte{0} || in[3] != std::byte{0})
    return failed(protocol_error("the peer set bits that have no meaning in this version"));
  if (header.length > payload_limit(header.type))
    return failed(protocol_error(fmt::format(
        "the peer announced a frame of type {} with {} bytes, which is beyond its limit", number, header.length)));
  return header;
}

Bytes frame_of(FrameType type, std::span<const std::byte> payload) {
  Bytes out(kFrameHeader);
  put_header(std::span<std::byte, kFrameHeader>(out.data(), kFrameHeader),
             {type, static_cast<std::uint32_t>(payload.size())});
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

Bytes encode(const Hello& hello) {
  Bytes out;
  put(out, kMagic);
  put(out, hello.version);
  put(out, hello.purpose);
  put(out, hello.side);
  put(out, hello.connections);
  put(out, hello.index);
  put_array(out, hello.session);
  return out;
}

Outcome<Hello> decode_hello(std::span<const std::byte> payload) {
  Reader reader(payload);
  if (reader.take<std::uint32_t>() != kMagic) return malformed("greeting");
  Hello hello;
  hello.version = reader.take<std::uint16_t>();
  if (hello.version != kVersion)
    return failed(
        "VersionMismatch",
        fmt::format("the peer speaks version {} of the protocol, this mover version {}", hello.version, kVersion),
        "bring the same mover image to both hosts");
  hello.purpose = reader.take<Purpose>();
  hello.side = reader.take<Side>();
  hello.connections = reader.take<std::uint8_t>();
  hello.index = reader.take<std::uint8_t>();
  hello.session = reader.take<SessionId>();
  const bool known = (hello.purpose == Purpose::Copy || hello.purpose == Purpose::Connect) &&
                     (hello.side == Side::Send || hello.side == Side::Receive);
  if (!reader.whole() || !known || hello.connections < 1 || hello.connections > 32 || hello.index >= hello.connections)
    return malformed("greeting");
  return hello;
}

void append(Bytes& out, const Entry& entry) {
  put(out, entry.type);
  put(out, static_cast<std::uint8_t>((entry.sparse ? kSparse : 0) | (entry.attributes.empty() ? 0 : kAttributes)));
  put(out, entry.parent);
  put(out, static_cast<std::uint16_t>(entry.mode));
  put(out, entry.uid);
  put(out, entry.gid);
  put(out, entry.mtime_seconds);
  put(out, entry.mtime_nanos);
  put(out, size_field(entry));
  put(out, entry.stamp);
  put_text(out, entry.name, kMaxName);
  if (entry.type == EntryType::SymbolicLink) put_text(out, entry.link_target, kMaxLinkTarget);
  if (entry.sparse) {
    put(out, static_cast<std::uint32_t>(entry.ranges.size()));
    for (const Range& range : entry.ranges) {
      put(out, range.offset);
      put(out, range.length);
    }
  }
  if (entry.attributes.empty()) return;
  put(out, static_cast<std::uint16_t>(entry.attributes.size()));
  for (const Attribute& one : entry.attributes) {
    put_text(out, one.name, kMaxName);
    put(out, static_cast<std::uint32_t>(one.value.size()));
    const auto bytes = std::as_bytes(std::span(one.value));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
}

Outcome<Entry> take_entry(std::span<const std::byte>& payload) {
  Reader reader(payload);
  Entry entry = take_one_entry(reader);
  if (!reader.ok()) return malformed("entry");
  payload = reader.rest();
  return entry;
}

Outcome<void> decode_entries(std::span<const std::byte> payload, EntryList& entries) {
  while (!payload.empty()) {
    const auto entry = take_entry(payload);
    if (!entry) return failed(entry.error());
    if (auto added = entries.add(*entry); !added) return added;
  }
  return {};
}

Bytes encode(const EntriesEnd& end) {
  Bytes out;
  put(out, end.entries);
  put(out, end.data_bytes);
  put(out, static_cast<std::uint8_t>(end.live ? 1 : 0));
  put_told(out, end.skipped);
  put_told(out, end.unreadable);
  put(out, static_cast<std::uint32_t>(end.origin.size()));
  const auto origin = std::as_bytes(std::span(end.origin));
  out.insert(out.end(), origin.begin(), origin.end());
  return out;
}

Outcome<EntriesEnd> decode_entries_end(std::span<const std::byte> payload) {
  Reader reader(payload);
  EntriesEnd end;
  end.entries = reader.take<std::uint32_t>();
  end.data_bytes = reader.take<std::uint64_t>();
  end.live = reader.take<std::uint8_t>() != 0;
  end.skipped = take_told(reader);
  end.unreadable = take_told(reader);
  end.origin = reader.bytes(reader.take<std::uint32_t>());
  if (!reader.whole()) return malformed("end of entries");
  return end;
}

std::uint64_t prefix_of(const Digest& digest) {
  std::uint64_t prefix = 0;
  std::memcpy(&prefix, digest.data(), sizeof prefix);
  return prefix;
}

Bytes encode_known(std::span<const std::uint64_t> prefixes) {
  const auto bytes = std::as_bytes(prefixes);
  return {bytes.begin(), bytes.end()};
}

Outcome<std::vector<std::uint64_t>> decode_known(std::span<const std::byte> payload) {
  if (payload.size() % sizeof(std::uint64_t) != 0) return malformed("list of extents");
  std::vector<std::uint64_t> prefixes(payload.size() / sizeof(std::uint64_t));
  if (!prefixes.empty()) std::memcpy(prefixes.data(), payload.data(), payload.size());
  return prefixes;
}

void append(Bytes& out, const Want& want) {
  put(out, want.file);
  put(out, want.offset);
  put(out, want.length);
  put(out, static_cast<std::uint8_t>((want.have ? kHas : 0) | (want.patchable ? kPatchable : 0) |
                                     (want.pieces ? kPieces : 0) | (want.whole ? kWhole : 0)));
  if (want.have) put_array(out, *want.have);
  if (want.pieces) put_array(out, *want.pieces);
}

Outcome<std::vector<Want>> decode_wants(std::span<const std::byte> payload) {
  Reader reader(payload);
  std::vector<Want> wants;
  while (!reader.at_end()) {
    Want want;
    want.file = reader.take<std::uint32_t>();
    want.offset = reader.take<std::uint64_t>();
    want.length = reader.take<std::uint32_t>();
    const auto flags = reader.take<std::uint8_t>();
    if ((flags & kHas) != 0) want.have = reader.take<Digest>();
    if ((flags & kPieces) != 0) want.pieces = reader.take<PieceSet>();
    want.patchable = (flags & kPatchable) != 0;
    want.whole = (flags & kWhole) != 0;
    if (!reader.ok() || flags > kWantFlags || want.length == 0 || want.length > kExtent || wants.size() == kMaxWants)
      return malformed("want");
    wants.push_back(want);
  }
  return wants;
}

void put_answer(std::span<std::byte, kAnswerHeader> out, const AnswerHeader& answer) {
  std::byte* at = out.data();
  const auto copy = [&](const auto& value) {
    std::memcpy(at, &value, sizeof value);
    at += sizeof value;
  };
  copy(answer.kind);
  copy(answer.codec);
  copy(std::uint16_t{0});
  copy(answer.file);
  copy(answer.offset);
  copy(answer.length);
  copy(answer.stored);
  copy(answer.hash);
}

Outcome<AnswerHeader> take_answer(std::span<const std::byte>& payload) {
  Reader reader(payload);
  AnswerHeader answer;
  answer.kind = reader.take<AnswerKind>();
  answer.codec = reader.take<std::uint8_t>();
  const auto reserved = reader.take<std::uint16_t>();
  answer.file = reader.take<std::uint32_t>();
  answer.offset = reader.take<std::uint64_t>();
  answer.length = reader.take<std::uint32_t>();
  answer.stored = reader.take<std::uint32_t>();
  answer.hash = reader.take<Digest>();
  const bool known = answer.kind >= AnswerKind::Same && answer.kind <= AnswerKind::Trouble;
  if (!reader.ok() || reserved != 0 || !known || answer.codec > kZstd || answer.length > kExtent ||
      answer.stored > reader.rest().size() || answer.stored > most_stored(answer))
    return malformed("extent");
  if (answer.kind == AnswerKind::Data && answer.codec == kPlain && answer.stored != answer.length)
    return malformed("extent");
  payload = reader.rest();
  return answer;
}

Bytes encode(std::span<const std::uint32_t> troubled) {
  Bytes out;
  for (const std::uint32_t file : troubled) put(out, file);
  return out;
}

Outcome<std::vector<std::uint32_t>> decode_troubled(std::span<const std::byte> payload) {
  Reader reader(payload);
  std::vector<std::uint32_t> files;
  while (!reader.at_end() && reader.ok()) files.push_back(reader.take<std::uint32_t>());
  if (!reader.ok()) return malformed("list of files");
  return files;
}

void append(Bytes& out, const Restated& restated) {
  put(out, restated.file);
  put(out, static_cast<std::uint8_t>((restated.entry ? 0 : kUnreadable) | (restated.final ? kFinal : 0)));
  if (restated.entry)
    append(out, *restated.entry);
  else
    put_text(out, restated.unreadable, kMaxText);
}

Outcome<std::vector<Restated>> decode_restated(std::span<const std::byte> payload) {
  Reader reader(payload);
  std::vector<Restated> all;
  while (!reader.at_end() && reader.ok()) {
    Restated one;
    one.file = reader.take<std::uint32_t>();
    const auto flags = reader.take<std::uint8_t>();
    one.final = (flags & kFinal) != 0;
    if ((flags & kUnreadable) != 0)
      one.unreadable = reader.text(kMaxText);
    else
      one.entry = take_one_entry(reader);
    all.push_back(std::move(one));
  }
  if (!reader.ok()) return malformed("restated file");
  return all;
}

Bytes encode(const Tally& tally) {
  Bytes out;
  put(out, tally.bytes_done);
  put(out, tally.files_done);
  put(out, tally.bytes_verified);
  return out;
}

Outcome<Tally> decode_tally(std::span<const std::byte> payload) {
  Reader reader(payload);
  Tally tally;
  tally.bytes_done = reader.take<std::uint64_t>();
  tally.files_done = reader.take<std::uint64_t>();
  tally.bytes_verified = reader.take<std::uint64_t>();
  if (!reader.whole()) return malformed("tally");
  return tally;
}

Bytes encode(const Failure& failure) {
  Bytes out;
  put_text(out, failure.reason, 64);
  put_text(out, failure.message, kMaxText);
  put_text(out, failure.next, kMaxText);
  return out;
}

Outcome<Failure> decode_failure(std::span<const std::byte> payload) {
  Reader reader(payload);
  Failure failure{reader.text(64), reader.text(kMaxText), reader.text(kMaxText)};
  const bool word = !failure.reason.empty() && std::all_of(failure.reason.begin(), failure.reason.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  if (!reader.whole() || !word) return malformed("failure");
  return failure;
}

}  // namespace roadstead::mover
