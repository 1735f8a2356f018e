// The lines and results that a worker prints, and how they are read: leniently, because a failed worker's may be
// partial.

#include <nlohmann/json.hpp>

#include "mover/contract/job.h"
#include "operator/base/rfc3339.h"

namespace roadstead::mover {
namespace {

using Json = nlohmann::json;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

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

Time time_or_epoch(const Json& json, const char* name) {
  return parse_rfc3339(text_or_empty(json, name)).value_or(Time{});
}

std::vector<std::string> texts_or_none(const Json& json, const char* name) {
  std::vector<std::string> texts;
  if (const auto found = json.find(name); found != json.end() && found->is_array())
    for (const Json& text : *found)
      if (text.is_string()) texts.push_back(text.get<std::string>());
  return texts;
}

Json object_or_empty(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? json : Json::object();
}

Json written(const Told& told) { return {{"count", told.count}, {"names", told.names}}; }

Told told_in(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_object()) return {};
  return {number_or_zero(*found, "count"), texts_or_none(*found, "names")};
}

Json written(const SnapshotSeen& seen) {
  Json json{{"id", seen.id},
            {"origin", object_or_empty(seen.origin)},
            {"dataAsOf", format_rfc3339_millis(seen.data_as_of)},
            {"finishedAt", format_rfc3339_millis(seen.finished_at)},
            {"crashConsistent", seen.crash_consistent},
            {"logicalBytes", seen.logical_bytes},
            {"dataBytes", seen.data_bytes},
            {"sentBytes", seen.sent_bytes},
            {"storedBytes", seen.stored_bytes},
            {"files", seen.files},
            {"entries", seen.entries},
            {"changed", written(seen.changed)},
            {"unreadable", written(seen.unreadable)},
            {"skipped", written(seen.skipped)},
            {"millis", seen.millis}};
  if (seen.kept) json["kept"] = true;
  return json;
}

SnapshotSeen read_snapshot(const Json& json) {
  SnapshotSeen seen;
  seen.id = text_or_empty(json, "id");
  if (const auto origin = json.find("origin"); origin != json.end() && origin->is_object())
    seen.origin = dumped(*origin);
  seen.data_as_of = time_or_epoch(json, "dataAsOf");
  seen.finished_at = time_or_epoch(json, "finishedAt");
  seen.crash_consistent = flag_or_false(json, "crashConsistent");
  seen.logical_bytes = number_or_zero(json, "logicalBytes");
  seen.data_bytes = number_or_zero(json, "dataBytes");
  seen.sent_bytes = number_or_zero(json, "sentBytes");
  seen.stored_bytes = number_or_zero(json, "storedBytes");
  seen.files = number_or_zero(json, "files");
  seen.entries = number_or_zero(json, "entries");
  seen.changed = told_in(json, "changed");
  seen.unreadable = told_in(json, "unreadable");
  seen.skipped = told_in(json, "skipped");
  seen.millis = number_or_zero(json, "millis");
  seen.kept = flag_or_false(json, "kept");
  return seen;
}

std::optional<SnapshotSeen> snapshot_if_any(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_object()) return std::nullopt;
  return read_snapshot(*found);
}

}  // namespace

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

std::string to_json(const SnapshotSeen& seen) { return dumped(written(seen)); }

Result<SnapshotSeen> parse_snapshot_seen(std::string_view text) {
  return data_read<SnapshotSeen>(text, [](const Json& json) { return read_snapshot(json); });
}

std::string to_json(const CopyData& data) {
  Json json{{"bytesTotal", data.bytes_total},        {"bytesDone", data.bytes_done},
            {"bytesSent", data.bytes_sent},          {"bytesSame", data.bytes_same},
            {"bytesVerified", data.bytes_verified},  {"filesTotal", data.files_total},
            {"filesDone", data.files_done},          {"entries", data.entries},
            {"skippedCount", data.skipped_count},    {"skipped", data.skipped},
            {"treeInode", data.tree_inode},          {"neededBytes", data.needed_bytes},
            {"freeBytes", data.free_bytes},          {"millis", data.millis},
            {"wireBytes", data.wire_bytes},          {"changed", written(data.changed)},
            {"unreadable", written(data.unreadable)}};
  if (data.snapshot) json["snapshot"] = written(*data.snapshot);
  if (data.previous) json["previous"] = written(*data.previous);
  return dumped(json);
}

Result<CopyData> parse_copy_data(std::string_view text) {
  return data_read<CopyData>(text, [](const Json& json) {
    CopyData data;
    data.bytes_total = number_or_zero(json, "bytesTotal");
    data.bytes_done = number_or_zero(json, "bytesDone");
    data.bytes_sent = number_or_zero(json, "bytesSent");
    data.bytes_same = number_or_zero(json, "bytesSame");
    data.bytes_verified = number_or_zero(json, "bytesVerified");
    data.files_total = number_or_zero(json, "filesTotal");
    data.files_done = number_or_zero(json, "filesDone");
    data.entries = number_or_zero(json, "entries");
    data.skipped_count = number_or_zero(json, "skippedCount");
    data.skipped = texts_or_none(json, "skipped");
    data.tree_inode = number_or_zero(json, "treeInode");
    data.needed_bytes = number_or_zero(json, "neededBytes");
    data.free_bytes = number_or_zero(json, "freeBytes");
    data.millis = number_or_zero(json, "millis");
    data.wire_bytes = number_or_zero(json, "wireBytes");
    data.changed = told_in(json, "changed");
    data.unreadable = told_in(json, "unreadable");
    data.snapshot = snapshot_if_any(json, "snapshot");
    data.previous = snapshot_if_any(json, "previous");
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
    seen = {text_or_empty(json, "volume"), text_or_empty(json, "namespace"), text_or_empty(json, "name"),
            text_or_empty(json, "state")};
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

std::string to_json(const SnapshotsData& data) {
  constexpr std::size_t kNamedOfEach = 5;  // a directory may hold hundreds
  const auto cut = [](Told told) {
    if (told.names.size() > kNamedOfEach) told.names.resize(kNamedOfEach);
    return told;
  };
  Json snapshots = Json::array();
  for (SnapshotSeen seen : data.snapshots) {
    seen.changed = cut(std::move(seen.changed));
    seen.unreadable = cut(std::move(seen.unreadable));
    seen.skipped = cut(std::move(seen.skipped));
    snapshots.push_back(written(seen));
  }
  return dumped({{"snapshots", std::move(snapshots)},
                 {"unreadable", data.unreadable},
                 {"packBytes", data.pack_bytes},
                 {"packs", data.packs},
                 {"damaged", data.damaged},
                 {"freeBytes", data.free_bytes}});
}

Result<SnapshotsData> parse_snapshots_data(std::string_view text) {
  return data_read<SnapshotsData>(text, [](const Json& json) {
    SnapshotsData data;
    for (const Json& one : json.value("snapshots", Json::array()))
      if (one.is_object()) data.snapshots.push_back(read_snapshot(one));
    data.unreadable = texts_or_none(json, "unreadable");
    data.pack_bytes = number_or_zero(json, "packBytes");
    data.packs = number_or_zero(json, "packs");
    data.damaged = number_or_zero(json, "damaged");
    data.free_bytes = number_or_zero(json, "freeBytes");
    return data;
  });
}

std::string to_json(const ForgetData& data) {
  return dumped({{"removedSnapshots", data.removed_snapshots},
                 {"removedPacks", data.removed_packs},
                 {"rewrittenPacks", data.rewritten_packs},
                 {"freedBytes", data.freed_bytes},
                 {"packBytes", data.pack_bytes}});
}

Result<ForgetData> parse_forget_data(std::string_view text) {
  return data_read<ForgetData>(text, [](const Json& json) {
    return ForgetData{number_or_zero(json, "removedSnapshots"), number_or_zero(json, "removedPacks"),
                      number_or_zero(json, "rewrittenPacks"), number_or_zero(json, "freedBytes"),
                      number_or_zero(json, "packBytes")};
  });
}

std::string to_json(const VerifyData& data) {
  Json damage = Json::array();
  for (const DamageSeen& one : data.damage)
    damage.push_back({{"snapshot", one.snapshot}, {"files", written(one.files)}});
  return dumped({{"packs", data.packs},
                 {"bytes", data.bytes},
                 {"damaged", data.damaged},
                 {"missing", data.missing},
                 {"damage", std::move(damage)}});
}

Result<VerifyData> parse_verify_data(std::string_view text) {
  return data_read<VerifyData>(text, [](const Json& json) {
    VerifyData data{number_or_zero(json, "packs"),
                    number_or_zero(json, "bytes"),
                    number_or_zero(json, "damaged"),
                    number_or_zero(json, "missing"),
                    {}};
    for (const Json& one : json.value("damage", Json::array()))
      if (one.is_object()) data.damage.push_back({text_or_empty(one, "snapshot"), told_in(one, "files")});
    return data;
  });
}

std::string to_json(const Origin& origin) {
  Json json{{"installation", origin.installation},
            {"namespace", origin.ns},
            {"backup", origin.backup},
            {"policy", origin.policy},
            {"host", origin.host},
            {"volume", origin.volume}};
  if (origin.scheduled_time) json["scheduledTime"] = format_rfc3339(*origin.scheduled_time);
  return dumped(json);
}

Result<Origin> parse_origin(std::string_view text) {
  return data_read<Origin>(text, [](const Json& json) {
    Origin origin{text_or_empty(json, "installation"),
                  text_or_empty(json, "namespace"),
                  text_or_empty(json, "backup"),
                  text_or_empty(json, "policy"),
                  text_or_empty(json, "host"),
                  text_or_empty(json, "volume"),
                  std::nullopt};
    if (const auto time = parse_rfc3339(text_or_empty(json, "scheduledTime"))) origin.scheduled_time = *time;
    return origin;
  });
}

}  // namespace roadstead::mover
