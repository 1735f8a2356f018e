#include "operator/adapters/docker/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/base/rfc3339.h"
#include "operator/base/text.h"

namespace roadstead::docker {
namespace {

using nlohmann::json;

// The engine leaves fields out, or writes null, as it likes: every reader below has an answer for that.
const json kNothing;

const json& at(const json& value, std::string_view name) {
  if (!value.is_object()) return kNothing;
  const auto found = value.find(std::string(name));
  return found == value.end() ? kNothing : *found;
}

std::string text(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }
std::string text(const json& value, std::string_view name) { return text(at(value, name)); }

std::int64_t number(const json& value, std::string_view name) {
  const auto& field = at(value, name);
  return field.is_number() ? field.get<std::int64_t>() : 0;
}

bool flag(const json& value, std::string_view name) {
  const auto& field = at(value, name);
  return field.is_boolean() && field.get<bool>();
}

std::map<std::string, std::string> text_map(const json& value) {
  std::map<std::string, std::string> map;
  if (value.is_object())
    for (const auto& [name, entry] : value.items()) map[name] = text(entry);
  return map;
}

std::vector<std::string> text_list(const json& value) {
  std::vector<std::string> list;
  if (value.is_array())
    for (const auto& entry : value) list.push_back(text(entry));
  return list;
}

/// The engine writes the year 1 for "never".
std::optional<Time> time_of(const json& value, std::string_view name) {
  const auto written = text(value, name);
  if (written.empty() || written.starts_with("0001-")) return std::nullopt;
  const auto time = parse_rfc3339(written);
  return time ? std::optional(*time) : std::nullopt;
}

ContainerState state_of(std::string_view word) {
  for (const auto state : {ContainerState::Created, ContainerState::Running, ContainerState::Paused,
                           ContainerState::Restarting, ContainerState::Removing, ContainerState::Exited})
    if (to_string(state) == word) return state;
  return ContainerState::Dead;
}

std::vector<MountPoint> mounts_of(const json& container) {
  std::vector<MountPoint> mounts;
  if (const auto& listed = at(container, "Mounts"); listed.is_array())
    for (const auto& mount : listed)
      mounts.push_back({text(mount, "Type"), text(mount, "Name"), text(mount, "Source"), text(mount, "Destination"),
                        !flag(mount, "RW")});
  return mounts;
}

std::map<std::string, std::uint16_t> ports_of(const json& networks) {
  std::map<std::string, std::uint16_t> ports;
  const auto& published = at(networks, "Ports");
  if (!published.is_object()) return ports;
  for (const auto& [name, bindings] : published.items()) {
    if (!bindings.is_array() || bindings.empty()) continue;
    const auto written = text(bindings.front(), "HostPort");
    std::uint16_t port = 0;
    std::from_chars(written.data(), written.data() + written.size(), port);
    if (port != 0) ports[name] = port;
  }
  return ports;
}

/// (major, minor) of "1.41"; nothing for anything else.
std::optional<std::pair<int, int>> version_of(std::string_view written) {
  const auto dot = written.find('.');
  if (dot == written.npos) return std::nullopt;
  std::pair<int, int> version;
  const auto parse = [](std::string_view digits, int& into) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), into);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  if (!parse(written.substr(0, dot), version.first) || !parse(written.substr(dot + 1), version.second))
    return std::nullopt;
  return version;
}

json mount_body(const MountSpec& mount) {
  const bool is_volume = mount.type == MountSpec::Type::Volume;
  json body{{"Type", is_volume ? "volume" : "bind"},
            {"Source", mount.source},
            {"Target", mount.target},
            {"ReadOnly", mount.read_only}};
  // Without NoCopy a fresh volume is filled with the image's files.
  if (is_volume) body["VolumeOptions"] = {{"NoCopy", true}};
  return body;
}

json host_config(const ContainerSpec& spec, bool engine_remaps_users) {
  json config{{"RestartPolicy", {{"Name", spec.restart_policy}}},
              // The engine's default driver may keep logs where nobody can read them. The size keeps one that runs for
              // years bounded.
              {"LogConfig", {{"Type", "json-file"}, {"Config", {{"max-size", "20m"}, {"max-file", "3"}}}}},
              {"Mounts", json::array()}};
  for (const auto& mount : spec.mounts) config["Mounts"].push_back(mount_body(mount));
  if (!spec.network_mode.empty()) config["NetworkMode"] = spec.network_mode;
  for (const auto& port : spec.ports)
    config["PortBindings"][fmt::format("{}/tcp", port.container)].push_back(
        {{"HostIp", port.host_ip}, {"HostPort", port.host == 0 ? std::string() : std::to_string(port.host)}});
  if (!spec.extra_hosts.empty()) config["ExtraHosts"] = spec.extra_hosts;
  if (!spec.capabilities_add.empty()) config["CapAdd"] = spec.capabilities_add;
  if (!spec.capabilities_drop.empty()) config["CapDrop"] = spec.capabilities_drop;
  if (spec.init) config["Init"] = true;
  if (spec.shm_bytes > 0) config["ShmSize"] = spec.shm_bytes;
  // Files in volumes carry the uids of the host, not the remapped ones.
  if (engine_remaps_users) config["UsernsMode"] = "host";
  return config;
}

bool contains(std::string_view whole, std::string_view part) { return whole.find(part) != whole.npos; }

/// Some failures have a status of their own only in newer engines, or none at all: the text decides first.
std::optional<ErrorKind> kind_by_text(std::string_view message) {
  if (contains(message, "no space left on device")) return ErrorKind::NoSpace;
  if (contains(message, "port is already allocated") || contains(message, "address already in use") ||
      contains(message, "is not paused"))
    return ErrorKind::Conflict;
  if (contains(message, "unauthorized") || contains(message, "access denied") ||
      contains(message, "access to the resource is denied") || contains(message, "no basic auth credentials"))
    return ErrorKind::Forbidden;
  return std::nullopt;
}

ErrorKind kind_by_status(int status) {
  switch (status) {
    case 401:
    case 403:
      return ErrorKind::Forbidden;
    case 404:
      return ErrorKind::NotFound;
    case 409:
      return ErrorKind::Conflict;
    case 502:
    case 503:
    case 504:
      return ErrorKind::Unavailable;
    default:  // 500: the engine was reached and says that it cannot do this
      return status >= 500 ? ErrorKind::Internal : ErrorKind::Invalid;
  }
}

/// The alphabet of RFC 4648 for URLs, with padding.
std::string base64url(std::string_view data) {
  std::string encoded = base64(data);
  std::ranges::replace(encoded, '+', '-');
  std::ranges::replace(encoded, '/', '_');
  return encoded;
}

}  // namespace

Result<std::string> negotiated_version(std::string_view theirs) {
  const auto offered = version_of(theirs);
  if (!offered) return fail(ErrorKind::Invalid, "the engine does not say its API version; is this a Docker Engine?");
  if (*offered < *version_of(kOldestApi))
    return fail(ErrorKind::Invalid,
                "the engine speaks API {}, at least {} is needed: upgrade it to Docker 20.10 or newer", theirs,
                kOldestApi);
  return std::string(*offered < *version_of(kNewestApi) ? theirs : kNewestApi);
}

Error error_of(int status, std::string_view body) {
  const auto parsed = json::parse(body, nullptr, false);
  std::string message = parsed.is_object() ? text(parsed, "message") : std::string(body.substr(0, 512));
  while (!message.empty() &&
         (message.back() == '\n' || message.back() == '\r' || message.back() == ' ' || message.back() == '.'))
    message.pop_back();
  if (message.empty()) message = fmt::format("the engine answered with status {}", status);
  return {kind_by_text(message).value_or(kind_by_status(status)), message};
}

json create_body(const ContainerSpec& spec, bool engine_remaps_users) {
  json body{{"Image", spec.image}, {"Labels", spec.labels}, {"HostConfig", host_config(spec, engine_remaps_users)}};
  if (!spec.entrypoint.empty()) body["Entrypoint"] = spec.entrypoint;
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  if (!spec.environment.empty()) body["Env"] = spec.environment;
  if (!spec.user.empty()) body["User"] = spec.user;
  if (!spec.stop_signal.empty()) body["StopSignal"] = spec.stop_signal;
  if (spec.stop_timeout) body["StopTimeout"] = spec.stop_timeout->count();
  for (const auto& port : spec.ports) body["ExposedPorts"][fmt::format("{}/tcp", port.container)] = json::object();
  return body;
}

EngineInfo engine_info(const json& info) {
  EngineInfo engine;
  engine.id = text(info, "ID");
  engine.version = text(info, "ServerVersion");
  engine.operating_system = text(info, "OperatingSystem");
  engine.architecture = text(info, "Architecture");
  engine.storage_driver = text(info, "Driver");
  engine.root_directory = text(info, "DockerRootDir");
  for (const auto& option : text_list(at(info, "SecurityOptions")))
    if (option.starts_with("name=userns")) engine.user_namespace = option;
  engine.cpus = static_cast<int>(number(info, "NCPU"));
  engine.memory_bytes = number(info, "MemTotal");
  return engine;
}

ContainerInfo container_info(const json& inspected) {
  const auto& state = at(inspected, "State");
  const auto& config = at(inspected, "Config");
  const auto& host = at(inspected, "HostConfig");
  const auto& policy = at(host, "RestartPolicy");
  const auto& networks = at(inspected, "NetworkSettings");
  ContainerInfo info;
  info.id = text(inspected, "Id");
  info.name = text(inspected, "Name");
  if (info.name.starts_with('/')) info.name.erase(0, 1);
  info.image = text(config, "Image");
  info.image_id = text(inspected, "Image");
  info.state = state_of(text(state, "Status"));
  info.exit_code = static_cast<int>(number(state, "ExitCode"));
  info.oom_killed = flag(state, "OOMKilled");
  info.error = text(state, "Error");
  info.created_at = time_of(inspected, "Created");
  info.started_at = time_of(state, "StartedAt");
  info.finished_at = time_of(state, "FinishedAt");
  info.labels = text_map(at(config, "Labels"));
  info.mounts = mounts_of(inspected);
  info.restart_policy = text(policy, "Name");
  if (info.restart_policy.empty()) info.restart_policy = "no";
  info.restart_maximum = static_cast<int>(number(policy, "MaximumRetryCount"));
  info.restart_count = static_cast<int>(number(inspected, "RestartCount"));
  info.auto_remove = flag(host, "AutoRemove");
  info.published_ports = ports_of(networks);
  if (const auto& by_name = at(networks, "Networks"); by_name.is_object() && !by_name.empty())
    info.ip_address = text(by_name.front(), "IPAddress");
  return info;
}

ContainerSummary container_summary(const json& listed) {
  ContainerSummary summary;
  summary.id = text(listed, "Id");
  for (const auto& name : text_list(at(listed, "Names")))  // "/web", or "/other/alias" for a link to it
    if (name.rfind('/') == 0) summary.name = name.substr(1);
  summary.image = text(listed, "Image");
  summary.state = state_of(text(listed, "State"));
  summary.labels = text_map(at(listed, "Labels"));
  summary.mounts = mounts_of(listed);
  return summary;
}

VolumeInfo volume_info(const json& volume) {
  VolumeInfo info{text(volume, "Name"),           text(volume, "Driver"),          text(volume, "Mountpoint"),
                  text_map(at(volume, "Labels")), text_map(at(volume, "Options")), std::nullopt};
  const auto& usage = at(volume, "UsageData");
  if (usage.is_object() && number(usage, "Size") >= 0) info.size_bytes = number(usage, "Size");  // -1: not known
  return info;
}

ImageInfo image_info(const json& image) {
  return {text(image, "Id"), text_list(at(image, "RepoTags")), text_list(at(image, "RepoDigests")),
          text(image, "Architecture"), number(image, "Size")};
}

EngineEvent engine_event(const json& event) {
  const auto& actor = at(event, "Actor");
  const auto nanoseconds = std::chrono::nanoseconds(number(event, "timeNano"));
  return {text(event, "Type"), text(event, "Action"), text(actor, "ID"), text_map(at(actor, "Attributes")),
          Time(std::chrono::duration_cast<Millis>(nanoseconds))};
}

std::string label_filters(const Labels& labels, std::string_view type) {
  json filters = json::object();
  for (const auto& [name, value] : labels)
    filters["label"].push_back(value.empty() ? name : fmt::format("{}={}", name, value));
  if (!type.empty()) filters["type"].push_back(std::string(type));
  return filters.dump();
}

std::string registry_auth(const RegistryCredentials& credentials) {
  return base64url(json{
      {"username", credentials.username}, {"password", credentials.password}, {"serveraddress", credentials.server}}
                       .dump(-1, ' ', false, json::error_handler_t::replace));
}

ImageReference image_reference(std::string_view reference) {
  if (const auto at_sign = reference.find('@'); at_sign != reference.npos)
    return {std::string(reference.substr(0, at_sign)), std::string(reference.substr(at_sign + 1))};
  const auto colon = reference.rfind(':');
  const auto slash = reference.rfind('/');
  if (colon == reference.npos || (slash != reference.npos && colon < slash)) return {std::string(reference), "latest"};
  return {std::string(reference.substr(0, colon)), std::string(reference.substr(colon + 1))};
}

Result<void> check_progress(std::string_view line) {
  const auto message = json::parse(line, nullptr, false);
  auto error = text(message, "error");
  if (error.empty()) error = text(at(message, "errorDetail"), "message");
  if (error.empty()) return {};
  // A registry or a line that fails gives no status: perhaps it goes better next time.
  auto found = error_of(503, error);
  if (contains(error, "manifest unknown") || contains(error, "not found")) found.kind = ErrorKind::NotFound;
  return tl::unexpected(found);
}

Result<bool> LineSplitter::feed(std::span<const std::byte> piece,
                                const std::function<Result<bool>(std::string_view)>& line) {
  held_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  std::size_t begin = 0;
  for (auto end = held_.find('\n'); end != held_.npos; end = held_.find('\n', begin)) {
    auto found = std::string_view(held_).substr(begin, end - begin);
    begin = end + 1;
    if (found.ends_with('\r')) found.remove_suffix(1);
    if (found.empty()) continue;
    auto more = line(found);
    if (!more || !*more) return more;
  }
  held_.erase(0, begin);
  if (held_.size() > longest_)
    return fail(ErrorKind::Unavailable, "the engine's stream has a line of more than {} bytes", longest_);
  return true;
}

}  // namespace roadstead::docker
