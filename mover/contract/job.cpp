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
  fields.done();
  return source;
}

/// The target's two fields stand flat in most verbs.
void write_flat(Json& json, const Target& target) {
  json["parent"] = target.parent;
  json["request"] = target.request;
}

Target read_flat(Fields& fields) {
  Target target{fields.absolute_path("parent"), fields.text("request")};
  if (!is_request_name(target.request))
    throw Refused(fmt::format("{} '{}' cannot be a directory of ours", fields.path("request"), target.request));
  return target;
}

// ---- verbs --------------------------------------------------------------------------------------------------------

void write(Json& json, const Copy& copy) {
  json["role"] = word_of(copy.role, kRoles);
  if (copy.link) json["link"] = written(*copy.link);
  if (copy.source) json["source"] = written(*copy.source);
  if (copy.target) write_flat(json["target"], *copy.target);
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
  const auto expect = [&](const char* part, bool given, bool wanted) {
    if (given != wanted)
      throw Refused(
          fmt::format("{} is {} for role {}", part, wanted ? "missing" : "not allowed", word_of(copy.role, kRoles)));
  };
  expect("link", copy.link.has_value(), copy.role != Role::Both);
  expect("source", copy.source.has_value(), copy.role != Role::Receive);
  expect("target", copy.target.has_value(), copy.role != Role::Send);
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
  json["files"] = Json::array();
  for (const FinishFile& file : finish.files)
    json["files"].push_back({{"path", file.path},
                             {"mode", word_of(file.mode, kWriteModes)},
                             {"content", file.content},
                             {"permissions", file.permissions}});
}

Finish read_finish(Fields& fields) {
  Finish finish{read_flat(fields), {}};
  const Json& files = fields.at("files");
  if (!files.is_array()) throw Refused("files is no list");
  for (const Json& json : files) {
    Fields one(json, "files");
    FinishFile file;
    file.path = one.text("path");
    file.mode = one.word("mode", kWriteModes);
    file.content = one.text("content");
    one.number_into(file.permissions, "permissions", 0, 07777);
    one.done();
    finish.files.push_back(std::move(file));
  }
  return finish;
}

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
    throw Refused(fmt::format("verb '{}' is unknown", verb));
  };
  Job job = read();
  fields.done();
  return job;
}

// ---- lines --------------------------------------------------------------------------------------------------------

template <class T>
void put(Json& json, const char* name, const std::optional<T>& value) {
  if (value) json[name] = *value;
}

Json written(const Progress& progress) {
  Json json{{"phase", progress.phase}, {"bytesDone", progress.bytes_done}, {"filesDone", progress.files_done}};
  put(json, "bytesTotal", progress.bytes_total);
  put(json, "filesTotal", progress.files_total);
  put(json, "bytesPerSecond", progress.bytes_per_second);
  put(json, "etaSeconds", progress.eta_seconds);
  return {{"progress", std::move(json)}};
}

Json written(const WorkerResult& result) {
  Json data = Json::parse(result.data, nullptr, false);
  if (!data.is_object()) data = Json::object();
  return {{"result",
           {{"ok", result.ok},
            {"reason", result.reason},
            {"message", result.message},
            {"next", result.next},
            {"data", std::move(data)}}}};
}

std::uint64_t number_or_zero(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::optional<std::uint64_t> number_if_any(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::string text_or_empty(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

bool flag_or_false(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

Progress read_progress(const Json& json) {
  return {text_or_empty(json, "phase"),      number_or_zero(json, "bytesDone"), number_if_any(json, "bytesTotal"),
          number_or_zero(json, "filesDone"), number_if_any(json, "filesTotal"), number_if_any(json, "bytesPerSecond"),
          number_if_any(json, "etaSeconds")};
}

WorkerResult read_result(const Json& json) {
  const auto data = json.find("data");
  return {flag_or_false(json, "ok"), text_or_empty(json, "reason"), text_or_empty(json, "message"),
          text_or_empty(json, "next"), data != json.end() && data->is_object() ? dumped(*data) : "{}"};
}

/// `text` as a JSON object, or Invalid.
template <class T, class Read>
Result<T> data_read(std::string_view text, Read read) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorKind::Invalid, "a worker's data is no JSON object");
  return read(json);
}

}  // namespace

std::string request_name(std::string_view ns, std::string_view name, std::string_view item) {
  return shortened(fmt::format("{}.{}.{}", ns, name, item), kRequestLimit);
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
  static constexpr std::string_view kVerbs[] = {"copy",     "connect", "inspect", "survey", "mark",
                                                "exchange", "finish",  "discard", "empty",  "makeDirectory"};
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

std::string to_json(const Line& line) {
  return std::visit([](const auto& kind) { return dumped(written(kind)); }, line);
}

std::optional<Line> parse_line(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  if (const auto progress = json.find("progress"); progress != json.end() && progress->is_object())
    return read_progress(*progress);
  if (const auto result = json.find("result"); result != json.end() && result->is_object()) return read_result(*result);
  return std::nullopt;
}

std::string to_json(const CopyData& data) {
  return dumped({{"bytesTotal", data.bytes_total},
                 {"bytesDone", data.bytes_done},
                 {"bytesSent", data.bytes_sent},
                 {"bytesSame", data.bytes_same},
                 {"bytesVerified", data.bytes_verified},
                 {"filesTotal", data.files_total},
                 {"filesDone", data.files_done},
                 {"entries", data.entries},
                 {"skippedCount", data.skipped_count},
                 {"skipped", data.skipped},
                 {"treeInode", data.tree_inode},
                 {"neededBytes", data.needed_bytes},
                 {"freeBytes", data.free_bytes},
                 {"millis", data.millis}});
}

Result<CopyData> parse_copy_data(std::string_view text) {
  return data_read<CopyData>(text, [](const Json& json) {
    CopyData data{number_or_zero(json, "bytesTotal"),    number_or_zero(json, "bytesDone"),
                  number_or_zero(json, "bytesSent"),     number_or_zero(json, "bytesSame"),
                  number_or_zero(json, "bytesVerified"), number_or_zero(json, "filesTotal"),
                  number_or_zero(json, "filesDone"),     number_or_zero(json, "entries"),
                  number_or_zero(json, "skippedCount"),  {},
                  number_or_zero(json, "treeInode"),     number_or_zero(json, "neededBytes"),
                  number_or_zero(json, "freeBytes"),     number_or_zero(json, "millis")};
    if (const auto skipped = json.find("skipped"); skipped != json.end() && skipped->is_array())
      for (const Json& path : *skipped)
        if (path.is_string()) data.skipped.push_back(path.get<std::string>());
    return data;
  });
}

std::string to_json(const ConnectData& data) {
  return dumped({{"roundTripMillis", data.round_trip_millis}, {"peer", data.peer}});
}

Result<ConnectData> parse_connect_data(std::string_view text) {
  return data_read<ConnectData>(text, [](const Json& json) {
    const auto trip = json.find("roundTripMillis");
    return ConnectData{trip != json.end() && trip->is_number() ? trip->get<double>() : 0, text_or_empty(json, "peer")};
  });
}

std::string to_json(const InspectData& data) {
  Json json = Json::object();
  if (data.volume) {
    const VolumeSeen& seen = *data.volume;
    Json volume{{"exists", seen.exists},          {"inode", seen.inode},          {"sameDevice", seen.same_device},
                {"mountPoint", seen.mount_point}, {"freeBytes", seen.free_bytes}, {"totalBytes", seen.total_bytes},
                {"freeInodes", seen.free_inodes}, {"requests", Json::array()}};
    put(volume, "logicalBytes", seen.logical_bytes);
    put(volume, "allocatedBytes", seen.allocated_bytes);
    put(volume, "files", seen.files);
    for (const RequestSeen& request : seen.requests) {
      Json one{{"request", request.request}};
      put(one, "mark", request.mark);
      put(one, "treeInode", request.tree_inode);
      volume["requests"].push_back(std::move(one));
    }
    json["volume"] = std::move(volume);
  }
  if (data.source)
    json["source"] = {{"logicalBytes", data.source->logical_bytes},
                      {"allocatedBytes", data.source->allocated_bytes},
                      {"files", data.source->files},
                      {"entries", data.source->entries}};
  return dumped(json);
}

Result<InspectData> parse_inspect_data(std::string_view text) {
  return data_read<InspectData>(text, [](const Json& json) {
    InspectData data;
    if (const auto volume = json.find("volume"); volume != json.end() && volume->is_object()) {
      data.volume = VolumeSeen{flag_or_false(*volume, "exists"),
                               number_or_zero(*volume, "inode"),
                               flag_or_false(*volume, "sameDevice"),
                               flag_or_false(*volume, "mountPoint"),
                               number_or_zero(*volume, "freeBytes"),
                               number_or_zero(*volume, "totalBytes"),
                               number_or_zero(*volume, "freeInodes"),
                               number_if_any(*volume, "logicalBytes"),
                               number_if_any(*volume, "allocatedBytes"),
                               number_if_any(*volume, "files"),
                               {}};
      for (const Json& one : volume->value("requests", Json::array())) {
        RequestSeen request{text_or_empty(one, "request"), std::nullopt, number_if_any(one, "treeInode")};
        if (one.contains("mark")) request.mark = text_or_empty(one, "mark");
        data.volume->requests.push_back(std::move(request));
      }
    }
    if (const auto source = json.find("source"); source != json.end() && source->is_object())
      data.source = SourceSeen{number_or_zero(*source, "logicalBytes"), number_or_zero(*source, "allocatedBytes"),
                               number_or_zero(*source, "files"), number_or_zero(*source, "entries")};
    return data;
  });
}

MarkSeen read_mark(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  MarkSeen seen;
  if (json.is_object())
    seen = {{}, text_or_empty(json, "namespace"), text_or_empty(json, "name"), text_or_empty(json, "state")};
  if (seen.state.empty()) seen.state = "Unreadable";
  return seen;
}

std::string to_json(const SurveyData& data) {
  Json marks = Json::array();
  for (const MarkSeen& mark : data.marks)
    marks.push_back({{"volume", mark.volume}, {"namespace", mark.ns}, {"name", mark.name}, {"state", mark.state}});
  return dumped({{"freeBytes", data.free_bytes}, {"totalBytes", data.total_bytes}, {"marks", std::move(marks)}});
}

Result<SurveyData> parse_survey_data(std::string_view text) {
  return data_read<SurveyData>(text, [](const Json& json) {
    SurveyData data{number_or_zero(json, "freeBytes"), number_or_zero(json, "totalBytes"), {}};
    for (const Json& one : json.value("marks", Json::array()))
      data.marks.push_back({text_or_empty(one, "volume"), text_or_empty(one, "namespace"), text_or_empty(one, "name"),
                            text_or_empty(one, "state")});
    return data;
  });
}

std::string to_json(const ExchangeData& data) {
  return dumped({{"already", data.already}, {"inode", data.inode}, {"previousInode", data.previous_inode}});
}

Result<ExchangeData> parse_exchange_data(std::string_view text) {
  return data_read<ExchangeData>(text, [](const Json& json) {
    return ExchangeData{flag_or_false(json, "already"), number_or_zero(json, "inode"),
                        number_or_zero(json, "previousInode")};
  });
}

std::string to_json(const InodeData& data) { return dumped({{"inode", data.inode}}); }

Result<InodeData> parse_inode_data(std::string_view text) {
  return data_read<InodeData>(text, [](const Json& json) { return InodeData{number_or_zero(json, "inode")}; });
}

std::string to_json(const RemovedData& data) { return dumped({{"removed", data.removed}}); }

Result<RemovedData> parse_removed_data(std::string_view text) {
  return data_read<RemovedData>(text, [](const Json& json) { return RemovedData{number_or_zero(json, "removed")}; });
}

}  // namespace roadstead::mover
