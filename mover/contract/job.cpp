#include "mover/contract/job.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "operator/base/names.h"

namespace roadstead::mover {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kRequestLimit = 200;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// Thrown inside this file only; parse_job turns it into Invalid.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads the fields of one JSON object; what was not asked for by the end is refused.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw Refused(fmt::format("{} is no object", where_.empty() ? "the job" : where_));
  }

  bool has(const char* name) {
    known_.emplace_back(name);
    return json_.contains(name);
  }

  const Json& at(const char* name) {
    if (!has(name)) throw Refused(fmt::format("{} is missing", path(name)));
    return json_.at(name);
  }

  std::string text(const char* name) {
    const Json& value = at(name);
    if (!value.is_string()) throw Refused(fmt::format("{} is no string", path(name)));
    auto text = value.get<std::string>();
    if (text.find('\0') != std::string::npos) throw Refused(fmt::format("{} holds a zero byte", path(name)));
    return text;
  }

  std::string text(const char* name, std::string otherwise) { return has(name) ? text(name) : std::move(otherwise); }

  std::string absolute_path(const char* name) {
    std::string value = text(name);
    if (value.empty() || value[0] != '/') throw Refused(fmt::format("{} is no absolute path", path(name)));
    return value;
  }

  /// What may be a name of ours in a directory.
  std::string directory_name(const char* name) {
    std::string value = text(name);
    if (!is_request_name(value)) throw Refused(fmt::format("{} '{}' cannot be a name of ours", path(name), value));
    return value;
  }

  std::vector<std::string> texts(const char* name) {
    std::vector<std::string> out;
    if (!has(name)) return out;
    if (!json_.at(name).is_array()) throw Refused(fmt::format("{} is no list", path(name)));
    for (const Json& item : json_.at(name)) {
      if (!item.is_string()) throw Refused(fmt::format("{} holds something that is no string", path(name)));
      out.push_back(item.get<std::string>());
    }
    return out;
  }

  std::uint64_t number(const char* name, std::uint64_t least, std::uint64_t most) {
    const Json& value = at(name);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < least || value.get<std::uint64_t>() > most)
      throw Refused(fmt::format("{} is no whole number from {} to {}", path(name), least, most));
    return value.get<std::uint64_t>();
  }

  template <class Integer>
  void number_into(Integer& out, const char* name, std::uint64_t least, std::uint64_t most) {
    if (has(name)) out = static_cast<Integer>(number(name, least, most));
  }

  bool flag(const char* name, bool otherwise) {
    if (!has(name)) return otherwise;
    if (!json_.at(name).is_boolean()) throw Refused(fmt::format("{} is neither true nor false", path(name)));
    return json_.at(name).get<bool>();
  }

  template <class Enum>
  Enum word(const char* name, std::initializer_list<std::pair<const char*, Enum>> words) {
    const std::string given = text(name);
    std::string list;
    for (const auto& [word, value] : words) {
      if (given == word) return value;
      list += list.empty() ? word : fmt::format(", {}", word);
    }
    throw Refused(fmt::format("{} is '{}', expected one of {}", path(name), given, list));
  }

  [[nodiscard]] std::string path(const char* name) const { return where_.empty() ? name : where_ + "." + name; }

  void done() const {
    for (const auto& [name, value] : json_.items())
      if (std::find(known_.begin(), known_.end(), name) == known_.end())
        throw Refused(fmt::format("{} is unknown", path(name.c_str())));
  }

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kId = std::numeric_limits<std::uint32_t>::max();

// ---- parts: one writer and one reader each ----------------------------------------------------------------------

constexpr std::initializer_list<std::pair<const char*, Role>> kRoles = {
    {"Send", Role::Send}, {"Receive", Role::Receive}, {"Both", Role::Both}};
constexpr std::initializer_list<std::pair<const char*, LinkMode>> kLinkModes = {{"Serve", LinkMode::Serve},
                                                                                {"Call", LinkMode::Call}};
constexpr std::initializer_list<std::pair<const char*, Compression>> kCompressions = {
    {"Auto", Compression::Auto}, {"None", Compression::None}, {"Zstd", Compression::Zstd}};
constexpr std::initializer_list<std::pair<const char*, WriteMode>> kWriteModes = {
    {"Replace", WriteMode::Replace}, {"ManagedBlock", WriteMode::ManagedBlock}};

template <class Enum>
const char* word_of(Enum value, std::initializer_list<std::pair<const char*, Enum>> words) {
  for (const auto& [word, candidate] : words)
    if (candidate == value) return word;
  throw std::logic_error("an enum value without a word");
}

Json written(const Link& link) {
  return {{"mode", word_of(link.mode, kLinkModes)}, {"address", link.address},   {"port", link.port},
          {"connections", link.connections},        {"transfer", link.transfer}, {"waitSeconds", link.wait_seconds},
          {"idleSeconds", link.idle_seconds}};
}

Link read_link(const Json& json) {
  Fields fields(json, "link");
  Link link;
  link.mode = fields.word("mode", kLinkModes);
  link.address = fields.text("address", "");
  link.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
  fields.number_into(link.connections, "connections", 1, 32);
  link.transfer = fields.text("transfer");
  fields.number_into(link.wait_seconds, "waitSeconds", 1, 86400);
  fields.number_into(link.idle_seconds, "idleSeconds", 1, 3600);
  fields.done();
  if (link.transfer.empty() || link.transfer.size() > 128)
    throw Refused("link.transfer has not between 1 and 128 bytes");
  if (link.mode == LinkMode::Call && link.address.empty()) throw Refused("link.address is missing for mode Call");
  return link;
}

bool is_wal_name(std::string_view name) {
  return name.size() == 24 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

Json written(const Source& source) {
  Json json{{"path", source.path}, {"exclude", source.exclude}};
  if (source.keep_wal)
    json["keepWal"] = {
        {"directory", source.keep_wal->directory}, {"first", source.keep_wal->first}, {"last", source.keep_wal->last}};
  if (source.live) json["live"] = true;
  if (source.settle_seconds != Source().settle_seconds) json["settleSeconds"] = source.settle_seconds;
  if (source.snapshot) json["snapshot"] = *source.snapshot;
  return json;
}

Source read_source(const Json& json) {
  Fields fields(json, "source");
  Source source;
  source.path = fields.absolute_path("path");
  source.exclude = fields.texts("exclude");
  if (fields.has("keepWal")) {
    Fields wal(fields.at("keepWal"), "source.keepWal");
    KeepWal keep;
    keep.directory = wal.text("directory", "pg_wal");
    keep.first = wal.text("first");
    keep.last = wal.text("last");
    wal.done();
    for (const std::string& name : {keep.first, keep.last})
      if (!is_wal_name(name))
        throw Refused(fmt::format("source.keepWal: '{}' is no WAL segment (24 upper-case hex digits)", name));
    if (keep.first.substr(8) > keep.last.substr(8)) throw Refused("source.keepWal.first is beyond its last");
    source.keep_wal = std::move(keep);
  }
  source.live = fields.flag("live", false);
  fields.number_into(source.settle_seconds, "settleSeconds", 0, 86400);
  if (fields.has("snapshot")) source.snapshot = fields.directory_name("snapshot");
  fields.done();
  return source;
}

/// The target's two fields stand flat in most verbs.
void write_flat(Json& json, const Target& target) {
  json["parent"] = target.parent;
  json["request"] = target.request;
}

Target read_flat(Fields& fields) { return {fields.absolute_path("parent"), fields.directory_name("request")}; }

// ---- verbs --------------------------------------------------------------------------------------------------------

Json written(const std::vector<FinishFile>& files) {
  Json json = Json::array();
  for (const FinishFile& file : files)
    json.push_back({{"path", file.path},
                    {"mode", word_of(file.mode, kWriteModes)},
                    {"content", file.content},
                    {"permissions", file.permissions}});
  return json;
}

std::vector<FinishFile> read_finish_files(const Json& json) {
  if (!json.is_array()) throw Refused("files is no list");
  std::vector<FinishFile> files;
  for (const Json& element : json) {
    Fields one(element, "files");
    FinishFile file;
    file.path = one.text("path");
    file.mode = one.word("mode", kWriteModes);
    file.content = one.text("content");
    one.number_into(file.permissions, "permissions", 0, 07777);
    one.done();
    files.push_back(std::move(file));
  }
  return files;
}

Json written(const InPlace& in_place) {
  Json json{{"compareOnly", in_place.compare_only}, {"keystone", in_place.keystone}};
  if (!in_place.files.empty()) json["files"] = written(in_place.files);
  write_flat(json, in_place.volume);
  return json;
}

InPlace read_in_place(const Json& json) {
  Fields fields(json, "inPlace");
  InPlace in_place{read_flat(fields), fields.flag("compareOnly", false), fields.text("keystone", ""), {}};
  if (fields.has("files")) in_place.files = read_finish_files(fields.at("files"));
  fields.done();
  return in_place;
}

Json written(const Snapshot& snapshot) {
  return {{"path", snapshot.path}, {"id", snapshot.id}, {"origin", Json::parse(snapshot.origin, nullptr, false)}};
}

Snapshot read_snapshot(const Json& json) {
  Fields fields(json, "snapshot");
  Snapshot snapshot{fields.absolute_path("path"), fields.directory_name("id"), "{}"};
  if (fields.has("origin")) {
    if (!fields.at("origin").is_object()) throw Refused("snapshot.origin is no object");
    snapshot.origin = dumped(fields.at("origin"));
  }
  fields.done();
  return snapshot;
}

void write(Json& json, const Copy& copy) {
  json["role"] = word_of(copy.role, kRoles);
  if (copy.link) json["link"] = written(*copy.link);
  if (copy.source) json["source"] = written(*copy.source);
  if (copy.target) write_flat(json["target"], *copy.target);
  if (copy.in_place) json["inPlace"] = written(*copy.in_place);
  if (copy.snapshot) json["snapshot"] = written(*copy.snapshot);
  json["compression"] = word_of(copy.compression, kCompressions);
  json["bandwidthLimit"] = copy.bandwidth_limit;
}

/// Each role has its parts, and what receives has exactly one sink.
void check_parts(const Copy& copy) {
  const auto expect = [&](const char* part, bool given, bool wanted) {
    if (given != wanted)
      throw Refused(
          fmt::format("{} is {} for role {}", part, wanted ? "missing" : "not allowed", word_of(copy.role, kRoles)));
  };
  expect("link", copy.link.has_value(), copy.role != Role::Both);
  expect("source", copy.source.has_value(), copy.role != Role::Receive);
  const int sinks = int{copy.target.has_value()} + int{copy.in_place.has_value()} + int{copy.snapshot.has_value()};
  if (sinks > 1) throw Refused("target, inPlace and snapshot exclude each other");
  expect("target", sinks == 1, copy.role != Role::Send);
}

Copy read_copy(Fields& fields) {
  Copy copy;
  copy.role = fields.word("role", kRoles);
  if (fields.has("link")) copy.link = read_link(fields.at("link"));
  if (fields.has("source")) copy.source = read_source(fields.at("source"));
  if (fields.has("target")) {
    Fields target(fields.at("target"), "target");
    copy.target = read_flat(target);
    target.done();
  }
  if (fields.has("inPlace")) copy.in_place = read_in_place(fields.at("inPlace"));
  if (fields.has("snapshot")) copy.snapshot = read_snapshot(fields.at("snapshot"));
  if (fields.has("compression")) copy.compression = fields.word("compression", kCompressions);
  fields.number_into(copy.bandwidth_limit, "bandwidthLimit", 0, kAny);
  check_parts(copy);
  return copy;
}

void write(Json& json, const Connect& connect) { json["link"] = written(connect.link); }

void write(Json& json, const Inspect& inspect) {
  if (inspect.parent) json["parent"] = *inspect.parent;
  json["sizes"] = inspect.sizes;
  if (inspect.source) json["source"] = written(*inspect.source);
}

void write(Json& json, const Survey& survey) { json["volumes"] = survey.volumes; }

Inspect read_inspect(Fields& fields) {
  Inspect inspect;
  if (fields.has("parent")) inspect.parent = fields.absolute_path("parent");
  inspect.sizes = fields.flag("sizes", false);
  if (fields.has("source")) inspect.source = read_source(fields.at("source"));
  if (!inspect.parent && !inspect.source) throw Refused("neither parent nor source is given");
  return inspect;
}

void write(Json& json, const Mark& mark) {
  write_flat(json, mark.target);
  json["content"] = mark.content;
}

Mark read_mark_job(Fields& fields) {
  Mark mark{read_flat(fields), fields.text("content")};
  if (!Json::accept(mark.content)) throw Refused("content is no JSON");
  return mark;
}

void write(Json& json, const Exchange& exchange) {
  write_flat(json, exchange.target);
  json["inode"] = exchange.inode;
}

void write(Json& json, const Finish& finish) {
  write_flat(json, finish.target);
  json["files"] = written(finish.files);
}

Finish read_finish(Fields& fields) { return {read_flat(fields), read_finish_files(fields.at("files"))}; }

void write(Json& json, const Discard& discard) {
  write_flat(json, discard.target);
  json["inode"] = discard.inode;
}

void write(Json& json, const Empty& empty) {
  json["path"] = empty.path;
  json["keep"] = empty.keep;
}

void write(Json& json, const MakeDirectory& make) {
  json["path"] = make.path;
  json["uid"] = make.uid;
  json["gid"] = make.gid;
  json["mode"] = make.mode;
}

MakeDirectory read_make_directory(Fields& fields) {
  MakeDirectory make;
  make.path = fields.absolute_path("path");
  fields.number_into(make.uid, "uid", 0, kId);
  fields.number_into(make.gid, "gid", 0, kId);
  fields.number_into(make.mode, "mode", 0, 07777);
  return make;
}

void write(Json& json, const Snapshots& snapshots) { json["path"] = snapshots.path; }

void check_ids(const char* name, const std::vector<std::string>& ids) {
  for (const std::string& id : ids)
    if (!is_request_name(id)) throw Refused(fmt::format("{}: '{}' cannot be a name of ours", name, id));
}

void write(Json& json, const Forget& forget) {
  json["path"] = forget.path;
  json["snapshots"] = forget.snapshots;
  json["dryRun"] = forget.dry_run;
  if (forget.even_kept) json["evenKept"] = true;
}

Forget read_forget(Fields& fields) {
  Forget forget{fields.absolute_path("path"), fields.texts("snapshots"), fields.flag("dryRun", false),
                fields.flag("evenKept", false)};
  check_ids("snapshots", forget.snapshots);
  return forget;
}

void write(Json& json, const Keep& keep) {
  json["path"] = keep.path;
  json["keep"] = keep.keep;
  json["release"] = keep.release;
}

Keep read_keep(Fields& fields) {
  Keep keep{fields.absolute_path("path"), fields.texts("keep"), fields.texts("release")};
  check_ids("keep", keep.keep);
  check_ids("release", keep.release);
  return keep;
}

void write(Json& json, const Verify& verify) {
  json["path"] = verify.path;
  json["part"] = verify.part;
  json["parts"] = verify.parts;
}

Verify read_verify(Fields& fields) {
  constexpr std::uint64_t kMostParts = 10'000;
  Verify verify{fields.absolute_path("path"), 0, 1};
  fields.number_into(verify.parts, "parts", 1, kMostParts);
  fields.number_into(verify.part, "part", 0, verify.parts - 1);
  return verify;
}

Job read_job(const Json& json) {
  Fields fields(json, "");
  const std::string verb = fields.text("verb");
  const auto read = [&]() -> Job {
    if (verb == "copy") return read_copy(fields);
    if (verb == "connect") return Connect{read_link(fields.at("link"))};
    if (verb == "inspect") return read_inspect(fields);
    if (verb == "survey") return Survey{fields.absolute_path("volumes")};
    if (verb == "mark") return read_mark_job(fields);
    if (verb == "exchange") return Exchange{read_flat(fields), fields.number("inode", 1, kAny)};
    if (verb == "finish") return read_finish(fields);
    if (verb == "discard") return Discard{read_flat(fields), fields.has("inode") ? fields.number("inode", 0, kAny) : 0};
    if (verb == "empty") return Empty{fields.absolute_path("path"), fields.texts("keep")};
    if (verb == "makeDirectory") return read_make_directory(fields);
    if (verb == "snapshots") return Snapshots{fields.absolute_path("path")};
    if (verb == "forget") return read_forget(fields);
    if (verb == "verify") return read_verify(fields);
    if (verb == "keep") return read_keep(fields);
    throw Refused(fmt::format("verb '{}' is unknown", verb));
  };
  Job job = read();
  fields.done();
  return job;
}

}  // namespace

std::string request_name(std::string_view ns, std::string_view name, std::string_view item) {
  return shortened(fmt::format("{}.{}.{}", ns, name, item), kRequestLimit);
}

std::string snapshot_id(std::string_view ns, std::string_view backup) {
  return shortened(fmt::format("{}.{}", ns, backup), kRequestLimit);
}

std::string repository_directory(std::string_view source_host, std::string_view volume) {
  return fmt::format("{}/{}", source_host, volume);
}

bool is_request_name(std::string_view request) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  };
  return !request.empty() && request.size() <= 255 && request[0] != '.' &&
         std::all_of(request.begin(), request.end(), allowed);
}

std::string_view verb_of(const Job& job) {
  static constexpr std::string_view kVerbs[] = {"copy",      "connect", "inspect", "survey", "mark",
                                                "exchange",  "finish",  "discard", "empty",  "makeDirectory",
                                                "snapshots", "forget",  "verify",  "keep"};
  static_assert(std::size(kVerbs) == std::variant_size_v<Job>);
  return kVerbs[job.index()];
}

std::string to_json(const Job& job) {
  Json json{{"verb", verb_of(job)}};
  std::visit([&](const auto& verb) { write(json, verb); }, job);
  return dumped(json);
}

Result<Job> parse_job(std::string_view text) {
  try {
    return read_job(Json::parse(text));
  } catch (const Json::parse_error& error) {
    return fail(ErrorKind::Invalid, "job: no JSON (byte {})", error.byte);
  } catch (const std::exception& error) {
    return fail(ErrorKind::Invalid, "job: {}", error.what());
  }
}

}  // namespace roadstead::mover
