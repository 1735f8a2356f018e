#include "operator/adapters/docker/docker_engine.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "operator/adapters/docker/api.h"
#include "operator/adapters/docker/mux.h"
#include "operator/adapters/docker/tar.h"
#include "operator/ports/fd_stream.h"

namespace roadstead::docker {
namespace {

using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kLongestAnswer = std::size_t{64} << 20;     // bytes of JSON: a host with thousands of containers
constexpr std::size_t kLongestError = std::size_t{64} << 10;      // bytes
constexpr std::size_t kLongestExecOutput = std::size_t{4} << 20;  // bytes, each of the two streams
constexpr std::size_t kMostLogLines = 1'000'000;
constexpr std::chrono::milliseconds kExecEndPause{10};

/// Silence means nothing where a call waits for something to happen.
constexpr std::chrono::hours kForEver{24 * 365};

Limits with_idle(Limits limits, std::chrono::milliseconds idle) {
  limits.idle = idle;
  return limits;
}

std::chrono::milliseconds left_until(SteadyClock::time_point deadline) {
  return std::max(std::chrono::milliseconds{0},
                  std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()));
}

SteadyClock::time_point deadline_in(std::chrono::milliseconds time) {
  return SteadyClock::now() + std::min<std::chrono::milliseconds>(time, kForEver);
}

/// Runs what a library may throw out of; nothing of ours throws.
template <class Fn>
auto guarded(const std::string& what, Fn&& fn) -> decltype(fn()) {
  try {
    return fn();
  } catch (const std::exception& error) {
    return fail(ErrorKind::Unavailable, "{}: the engine's answer cannot be read: {}", what, error.what());
  }
}

HttpRequest get(std::string target) { return {"GET", std::move(target), {}, {}, {}}; }
HttpRequest remove(std::string target) { return {"DELETE", std::move(target), {}, {}, {}}; }
HttpRequest post(std::string target) { return {"POST", std::move(target), {}, {}, {}}; }
HttpRequest post(std::string target, const json& body) {
  return {"POST",
          std::move(target),
          {{"Content-Type", "application/json"}},
          body.dump(-1, ' ', false, json::error_handler_t::replace),
          {}};
}

/// Where no container has the name, the engine takes it for the beginning of an id: "db" may be another container.
bool may_begin_an_id(const std::string& name) {
  constexpr std::size_t kIdDigits = 64;
  return name.size() < kIdDigits && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string volume_path(const std::string& name) { return "/volumes/" + url_encoded(name); }

Parameters log_parameters(const LogOptions& options) {
  Parameters parameters{{"stdout", "1"},
                        {"stderr", "1"},
                        {"timestamps", "1"},
                        {"tail", options.tail < 0 ? "all" : std::to_string(options.tail)}};
  if (options.since) {
    const auto ms = options.since->time_since_epoch().count();
    parameters.emplace_back("since", fmt::format("{}.{:03}000000", ms / 1000, ms % 1000));
  }
  return parameters;
}

/// An empty name would make another path, and so another call.
Result<void> named(const std::string& what, const std::string& name) {
  if (name.empty() || name == "." || name == "..") return fail(ErrorKind::Invalid, "{}: \"{}\" is no name", what, name);
  return {};
}

/// Collects a stream's both channels within their limit.
class ExecOutput {
 public:
  Result<void> take(std::span<const std::byte> piece) {
    auto fed = mux_.feed(piece, [this](Channel channel, std::span<const std::byte> part, bool) {
      auto& into = channel == Channel::Err ? result_.err : result_.out;
      if (into.size() + part.size() > kLongestExecOutput)
        too_long_ = true;
      else
        into.append(reinterpret_cast<const char*>(part.data()), part.size());
    });
    if (!fed) return fed;
    if (too_long_) return fail(ErrorKind::Invalid, "more than {} bytes of output", kLongestExecOutput);
    return {};
  }
  [[nodiscard]] bool whole() const { return mux_.between_frames(); }
  ExecResult result() && { return std::move(result_); }

 private:
  MuxReader mux_;
  ExecResult result_;
  bool too_long_ = false;
};

/// Writes the input beside the reader and half-closes; ends at once when it goes out of scope or the caller is stopped.
class InputWriter {
 public:
  InputWriter(ByteStream& stream, const std::string& input, Limits limits)
      : on_stop_(limits.stop, [this] { stop_.request_stop(); }) {
    if (input.empty()) {
      (void)stream.end_of_writes();
      return;
    }
    limits.stop = stop_.get_token();
    thread_ = std::jthread([&stream, &input, limits] {
      // A process that does not read its input is no failure: its exit code tells.
      if (stream.write_all(std::as_bytes(std::span(input.data(), input.size())), limits)) (void)stream.end_of_writes();
    });
  }
  ~InputWriter() { stop_.request_stop(); }

 private:
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::jthread thread_;  // last: joined first
};

}  // namespace

// --- calls

Result<std::string> DockerEngine::api_version(const Limits& limits) {
  {
    std::lock_guard lock(mutex_);
    if (known_) return known_->api_version;
  }
  auto reply = http_.send({"HEAD", "/_ping", {}, {}, {}}, limits);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->status() >= 400) return tl::unexpected(error_of(reply->status(), {}));
  auto version = negotiated_version(reply->header("Api-Version"));
  if (!version) return version;
  (void)reply->rest(0, limits);
  std::lock_guard lock(mutex_);
  known_ = Known{*version, std::nullopt};
  return version;
}

void DockerEngine::forget() {
  std::lock_guard lock(mutex_);
  known_.reset();
}

Result<bool> DockerEngine::remaps_users(const Limits& limits) {
  {
    std::lock_guard lock(mutex_);
    if (known_ && known_->remaps_users) return *known_->remaps_users;
  }
  const auto engine = info(limits);
  if (!engine) return tl::unexpected(engine.error());
  const bool remaps = !engine->user_namespace.empty();
  std::lock_guard lock(mutex_);
  if (known_) known_->remaps_users = remaps;
  return remaps;
}

Result<std::string> DockerEngine::container_path(const std::string& what, const std::string& name,
                                                 const Limits& limits) {
  if (auto ok = named(what, name); !ok) return tl::unexpected(ok.error());
  auto path = "/containers/" + url_encoded(name);
  if (!may_begin_an_id(name)) return path;
  const auto found = query(what, get(path + "/json"), limits);
  if (!found && found.error().message.find("IDs found with provided prefix") == std::string::npos)
    return tl::unexpected(found.error());
  const auto container = found ? container_info(*found) : ContainerInfo{};
  if (container.name != name || container.id.empty()) return fail(ErrorKind::NotFound, "{}: no such container", what);
  return "/containers/" + container.id;
}

Result<HttpReply> DockerEngine::call(On on, HttpRequest request, const Limits& limits) {
  const auto version = api_version(limits);
  if (!version) return tl::unexpected(version.error());
  request.target = "/v" + *version + request.target;
  auto reply = on == On::Pool ? http_.send(request, limits) : http_.send_dedicated(request, limits);
  if (!reply) {
    if (reply.error().kind == ErrorKind::Unavailable) forget();
    return reply;
  }
  if (reply->status() < 400) return reply;
  const auto body = reply->rest(kLongestError, limits);
  if (reply->status() == 400) forget();  // perhaps an engine of another version answers now
  return tl::unexpected(error_of(reply->status(), body ? *body : std::string()));
}

Result<void> DockerEngine::command(const std::string& what, HttpRequest request, const Limits& limits) {
  auto reply = call(On::Pool, std::move(request), limits);
  if (!reply) return within(what, reply.error());
  if (const auto rest = reply->rest(kLongestAnswer, limits); !rest) return within(what, rest.error());
  return {};
}

Result<json> DockerEngine::query(const std::string& what, HttpRequest request, const Limits& limits) {
  auto reply = call(On::Pool, std::move(request), limits);
  if (!reply) return within(what, reply.error());
  const auto body = reply->rest(kLongestAnswer, limits);
  if (!body) return within(what, body.error());
  auto parsed = json::parse(*body, nullptr, false);
  if (parsed.is_discarded()) return fail(ErrorKind::Unavailable, "{}: the engine's answer is not JSON", what);
  return parsed;
}

Result<void> DockerEngine::follow_progress(const std::string& what, HttpRequest request, const Limits& limits) {
  auto reply = call(On::OwnConnection, std::move(request), limits);
  if (!reply) return within(what, reply.error());
  LineSplitter lines;
  const auto check = [](std::string_view line) { return check_progress(line).map([] { return true; }); };
  for (;;) {
    const auto piece = reply->next_piece(limits);
    if (!piece) return within(what, piece.error());
    if (piece->empty()) break;
    if (const auto fine = lines.feed(*piece, check); !fine) return within(what, fine.error());
  }
  if (const auto fine = check_progress(lines.rest()); !fine) return within(what, fine.error());
  return {};
}

// --- engine and containers

Result<EngineInfo> DockerEngine::info(const Limits& limits) {
  const std::string what = "engine information";
  const auto answer = query(what, get("/info"), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<EngineInfo> {
    auto engine = engine_info(*answer);
    std::lock_guard lock(mutex_);
    if (known_) engine.api_version = known_->api_version;
    return engine;
  });
}

Result<std::string> DockerEngine::create_container(const ContainerSpec& spec, const Limits& limits) {
  const auto what = "create container " + spec.name;
  if (auto ok = named(what, spec.name); !ok) return tl::unexpected(ok.error());
  const auto remaps = remaps_users(limits);
  if (!remaps) return within(what, remaps.error());
  const auto answer =
      query(what, post("/containers/create" + query_of({{"name", spec.name}}), create_body(spec, *remaps)), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<std::string> { return answer->at("Id").get<std::string>(); });
}

Result<void> DockerEngine::start_container(const std::string& name, const Limits& limits) {
  const auto what = "start container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  return command(what, post(*path + "/start"), limits);
}

Result<void> DockerEngine::stop_container(const std::string& name, std::chrono::seconds grace, const Limits& limits) {
  const auto what = "stop container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  // The answer comes when it has stopped.
  return command(what, post(*path + "/stop" + query_of({{"t", std::to_string(grace.count())}})),
                 with_idle(limits, limits.idle + grace));
}

Result<void> DockerEngine::kill_container(const std::string& name, const std::string& signal, const Limits& limits) {
  const auto what = "kill container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  return command(what, post(*path + "/kill" + query_of({{"signal", signal}})), limits);
}

Result<void> DockerEngine::remove_container(const std::string& name, bool force, const Limits& limits) {
  const auto what = "remove container " + name;
  auto removed = container_path(what, name, limits).and_then([&](const std::string& path) {
    return command(what, remove(path + query_of({{"v", "1"}, {"force", force ? "1" : "0"}})), limits);
  });
  if (!removed && removed.error().kind == ErrorKind::NotFound) return {};
  return removed;
}

Result<ContainerInfo> DockerEngine::inspect_container(const std::string& name, const Limits& limits) {
  const auto what = "inspect container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  const auto answer = query(what, get(*path + "/json"), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<ContainerInfo> { return container_info(*answer); });
}

Result<std::vector<ContainerSummary>> DockerEngine::list_containers(const Labels& labels, const Limits& limits) {
  const std::string what = "list containers";
  const auto answer =
      query(what, get("/containers/json" + query_of({{"all", "1"}, {"filters", label_filters(labels)}})), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<std::vector<ContainerSummary>> {
    std::vector<ContainerSummary> containers;
    for (const auto& container : *answer) containers.push_back(container_summary(container));
    return containers;
  });
}

Result<void> DockerEngine::set_restart_policy(const std::string& name, const std::string& policy, int maximum,
                                              const Limits& limits) {
  const auto what = "set restart policy of container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  return command(what, post(*path + "/update", {{"RestartPolicy", {{"Name", policy}, {"MaximumRetryCount", maximum}}}}),
                 limits);
}

Result<void> DockerEngine::pause_container(const std::string& name, const Limits& limits) {
  const auto what = "pause container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  return command(what, post(*path + "/pause"), limits);
}

Result<void> DockerEngine::unpause_container(const std::string& name, const Limits& limits) {
  const auto what = "unpause container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  return command(what, post(*path + "/unpause"), limits);
}

Result<int> DockerEngine::wait_container(const std::string& name, const Limits& limits) {
  const auto what = "wait for container " + name;
  const auto deadline = deadline_in(limits.idle);
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  auto reply = call(On::OwnConnection, post(*path + "/wait" + query_of({{"condition", "not-running"}})), limits);
  if (!reply) return within(what, reply.error());
  const auto body = reply->rest(kLongestError, with_idle(limits, left_until(deadline)));
  if (!body) return within(what, body.error());
  return guarded(what, [&]() -> Result<int> {
    const auto answer = json::parse(*body);
    if (const auto& error = answer.value("Error", json()); error.is_object() && !error.value("Message", "").empty())
      return fail(ErrorKind::Unavailable, "{}: {}", what, error.value("Message", ""));
    return answer.at("StatusCode").get<int>();
  });
}

// --- logs

Result<std::vector<LogLine>> DockerEngine::logs(const std::string& name, const LogOptions& options,
                                                const Limits& limits) {
  std::vector<LogLine> lines;
  const auto keep = [&](const LogLine& line) {
    lines.push_back(line);
    return lines.size() < kMostLogLines;
  };
  const auto terminal = has_terminal(name, limits);
  if (!terminal) return tl::unexpected(terminal.error());
  LogAssembler log(*terminal, {}, keep);
  auto read = read_logs(name, log_parameters(options), limits, log);
  if (!read) return tl::unexpected(read.error());
  return lines;
}

Result<void> DockerEngine::follow_logs(const std::string& name, const LogOptions& options,
                                       const std::function<bool(const LogLine&)>& line, const Limits& limits) {
  const auto terminal = has_terminal(name, limits);
  if (!terminal) return tl::unexpected(terminal.error());
  LogAssembler log(*terminal, {}, line);
  auto parameters = log_parameters(options);
  parameters.emplace_back("follow", "1");
  if (auto read = read_logs(name, parameters, with_idle(limits, kForEver), log); !read || !log.wanted()) return read;

  // Docker 20.10 ends a followed log without its last lines when the container ends meanwhile: ask for what is missing.
  LogAssembler missing(*terminal, log.position(), line);
  parameters = log_parameters(options);
  if (const auto since = log.position().since(); !since.empty()) {
    parameters = log_parameters({-1, {}});
    parameters.emplace_back("since", since);
  }
  auto rest = read_logs(name, parameters, limits, missing);
  if (!rest && (rest.error().kind == ErrorKind::NotFound || rest.error().kind == ErrorKind::Conflict))
    return {};  // removed as it ended
  return rest;
}

Result<bool> DockerEngine::has_terminal(const std::string& name, const Limits& limits) {
  const auto what = "logs of container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  const auto inspected = query(what, get(*path + "/json"), limits);
  if (!inspected) return tl::unexpected(inspected.error());
  return guarded(what, [&]() -> Result<bool> { return inspected->at("Config").value("Tty", false); });
}

Result<void> DockerEngine::read_logs(const std::string& name, const Parameters& parameters, const Limits& limits,
                                     LogAssembler& log) {
  const auto what = "logs of container " + name;
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  auto reply = call(On::OwnConnection, get(*path + "/logs" + query_of(parameters)), limits);
  if (!reply) return within(what, reply.error());
  for (;;) {
    const auto piece = reply->next_piece(limits);
    if (!piece) return within(what, piece.error());
    if (piece->empty()) break;
    const auto more = log.feed(*piece);
    if (!more) return within(what, more.error());
    if (!*more) return {};
  }
  if (auto finished = log.finish(); !finished) return within(what, finished.error());
  return {};
}

// --- exec

Result<ExecResult> DockerEngine::exec(const std::string& name, const ExecSpec& spec, const Limits& limits) {
  const auto what = fmt::format("exec {} in container {}",
                                spec.command.empty() ? std::string("nothing") : spec.command.front(), name);
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  if (spec.command.empty()) return fail(ErrorKind::Invalid, "{}: the command is empty", what);
  json body{{"AttachStdin", !spec.input.empty()},
            {"AttachStdout", true},
            {"AttachStderr", true},
            {"Tty", false},
            {"Cmd", spec.command}};
  if (!spec.user.empty()) body["User"] = spec.user;
  if (!spec.environment.empty()) body["Env"] = spec.environment;
  const auto created = query(what, post(*path + "/exec", body), limits);
  if (!created) return tl::unexpected(created.error());
  return guarded(what, [&]() -> Result<ExecResult> {
    auto result = run_exec(created->at("Id").get<std::string>(), spec, limits);
    if (!result) return within(what, result.error());
    return result;
  });
}

Result<ExecResult> DockerEngine::run_exec(const std::string& id, const ExecSpec& spec, const Limits& limits) {
  const auto deadline = deadline_in(spec.time_limit);
  auto request = post("/exec/" + url_encoded(id) + "/start", {{"Detach", false}, {"Tty", false}});
  request.headers.emplace_back("Connection", "Upgrade");
  request.headers.emplace_back("Upgrade", "tcp");
  auto reply = call(On::OwnConnection, std::move(request), limits);
  if (!reply) return tl::unexpected(reply.error());
  const auto stream = std::move(*reply).take_stream();
  ExecOutput output;
  {
    const InputWriter writer(*stream, spec.input, with_idle(limits, left_until(deadline)));
    std::vector<std::byte> piece(std::size_t{64} << 10);
    for (;;) {
      const auto got = stream->read_some(piece, with_idle(limits, left_until(deadline)));
      if (!got && got.error().kind == ErrorKind::Timeout)
        return fail(ErrorKind::Timeout, "still running after {} ms", spec.time_limit.count());
      if (!got) return tl::unexpected(got.error());
      if (*got == 0) break;
      if (auto taken = output.take(std::span(piece).first(*got)); !taken) return tl::unexpected(taken.error());
    }
  }
  if (!output.whole()) return fail(ErrorKind::Unavailable, "the engine's stream was cut short");
  const auto code = exec_exit_code(id, deadline, limits);
  if (!code) return tl::unexpected(code.error());
  auto result = std::move(output).result();
  result.exit_code = *code;
  return result;
}

/// The stream may end a moment before the engine knows the exit code.
Result<int> DockerEngine::exec_exit_code(const std::string& id, SteadyClock::time_point deadline,
                                         const Limits& limits) {
  for (;;) {
    const auto state = query("exit code", get("/exec/" + url_encoded(id) + "/json"), limits);
    if (!state) return tl::unexpected(state.error());
    if (!state->value("Running", false) && state->contains("ExitCode") && state->at("ExitCode").is_number())
      return state->at("ExitCode").get<int>();
    if (SteadyClock::now() >= deadline) return fail(ErrorKind::Timeout, "its streams ended, but it still runs");
    const auto paused = wait_for_fd(-1, 0, kExecEndPause, limits.stop);
    if (!paused && paused.error().kind == ErrorKind::Cancelled) return tl::unexpected(paused.error());
  }
}

// --- archives

Result<void> DockerEngine::upload(const std::string& name, const std::string& directory,
                                  std::span<const ArchiveFile> files, const Limits& limits) {
  const auto what = fmt::format("upload to {} in container {}", directory, name);
  const auto path = container_path(what, name, limits);
  if (!path) return tl::unexpected(path.error());
  auto tar = make_tar(files);
  if (!tar) return within(what, tar.error());
  return command(what,
                 {"PUT",
                  *path + "/archive" + query_of({{"path", directory}}),
                  {{"Content-Type", "application/x-tar"}},
                  std::move(*tar),
                  {}},
                 limits);
}

Result<std::vector<ArchiveFile>> DockerEngine::download(const std::string& name, const std::string& path,
                                                        std::size_t at_most, const Limits& limits) {
  const auto what = fmt::format("download {} from container {}", path, name);
  const auto container = container_path(what, name, limits);
  if (!container) return tl::unexpected(container.error());
  auto reply = call(On::OwnConnection, get(*container + "/archive" + query_of({{"path", path}})), limits);
  if (!reply) return within(what, reply.error());
  auto files = read_tar([&] { return reply->next_piece(limits); }, at_most);
  if (!files) return within(what, files.error());
  return files;
}

// --- images

Result<ImageInfo> DockerEngine::inspect_image(const std::string& reference, const Limits& limits) {
  const auto what = "inspect image " + reference;
  if (auto ok = named(what, reference); !ok) return tl::unexpected(ok.error());
  const auto answer = query(what, get("/images/" + url_encoded(reference, "/:@") + "/json"), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<ImageInfo> { return image_info(*answer); });
}

Result<void> DockerEngine::pull_image(const std::string& reference,
                                      const std::optional<RegistryCredentials>& credentials, const Limits& limits) {
  const auto what = "pull image " + reference;
  if (auto ok = named(what, reference); !ok) return ok;
  const auto image = image_reference(reference);
  auto request = post("/images/create" + query_of({{"fromImage", image.name}, {"tag", image.tag}}));
  if (credentials) request.headers.emplace_back("X-Registry-Auth", registry_auth(*credentials));
  auto pulled = follow_progress(what, std::move(request), limits);
  // The engine answers 500 where it could not reach the registry.
  if (!pulled && pulled.error().kind == ErrorKind::Internal) pulled.error().kind = ErrorKind::Unavailable;
  return pulled;
}

Result<void> DockerEngine::load_image(const ByteSource& archive, const Limits& limits) {
  // Not "quiet": its progress keeps a long load from looking like silence.
  return follow_progress("load image", {"POST", "/images/load", {{"Content-Type", "application/x-tar"}}, {}, archive},
                         limits);
}

Result<void> DockerEngine::import_image(const ByteSource& archive, const std::string& reference,
                                        std::span<const std::string> changes, const Limits& limits) {
  const auto what = "import image " + reference;
  if (auto ok = named(what, reference); !ok) return ok;
  const auto image = image_reference(reference);
  Parameters parameters{{"fromSrc", "-"}, {"repo", image.name}, {"tag", image.tag}};
  for (const auto& change : changes) parameters.emplace_back("changes", change);
  return follow_progress(
      what, {"POST", "/images/create" + query_of(parameters), {{"Content-Type", "application/x-tar"}}, {}, archive},
      limits);
}

// --- volumes

Result<std::vector<VolumeInfo>> DockerEngine::list_volumes(const Limits& limits) {
  const std::string what = "list volumes";
  const auto answer = query(what, get("/volumes"), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<std::vector<VolumeInfo>> {
    std::vector<VolumeInfo> volumes;
    for (const auto& volume : answer->value("Volumes", json())) volumes.push_back(volume_info(volume));
    return volumes;
  });
}

Result<VolumeInfo> DockerEngine::inspect_volume(const std::string& name, const Limits& limits) {
  const auto what = "inspect volume " + name;
  if (auto ok = named(what, name); !ok) return tl::unexpected(ok.error());
  const auto answer = query(what, get(volume_path(name)), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<VolumeInfo> { return volume_info(*answer); });
}

Result<VolumeInfo> DockerEngine::create_volume(const std::string& name, const Labels& labels, const Limits& limits) {
  const auto what = "create volume " + name;
  if (auto ok = named(what, name); !ok) return tl::unexpected(ok.error());
  const auto answer =
      query(what, post("/volumes/create", {{"Name", name}, {"Driver", "local"}, {"Labels", labels}}), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<VolumeInfo> { return volume_info(*answer); });
}

Result<void> DockerEngine::remove_volume(const std::string& name, const Limits& limits) {
  const auto what = "remove volume " + name;
  if (auto ok = named(what, name); !ok) return ok;
  return command(what, remove(volume_path(name)), limits);
}

Result<std::vector<VolumeInfo>> DockerEngine::disk_usage(const Limits& limits) {
  const std::string what = "disk usage";
  // API 1.41 does not know `type` and measures everything.
  const auto answer = query(what, get("/system/df" + query_of({{"type", "volume"}})), limits);
  if (!answer) return tl::unexpected(answer.error());
  return guarded(what, [&]() -> Result<std::vector<VolumeInfo>> {
    std::vector<VolumeInfo> volumes;
    for (const auto& volume : answer->value("Volumes", json())) volumes.push_back(volume_info(volume));
    return volumes;
  });
}

// --- events

Result<void> DockerEngine::events(const Labels& labels, const std::function<bool(const EngineEvent&)>& event,
                                  const Limits& limits) {
  const std::string what = "events";
  auto reply =
      call(On::OwnConnection, get("/events" + query_of({{"filters", label_filters(labels, "container")}})), limits);
  if (!reply) return within(what, reply.error());
  EngineEvent opened;
  opened.type = kStreamOpened;
  if (!event(opened)) return {};
  const auto patient = with_idle(limits, kForEver);
  LineSplitter lines;
  const auto take = [&](std::string_view line) {
    return guarded(what, [&]() -> Result<bool> { return event(engine_event(json::parse(line))); });
  };
  for (;;) {
    const auto piece = reply->next_piece(patient);
    if (!piece) return within(what, piece.error());
    if (piece->empty()) return fail(ErrorKind::Unavailable, "{}: the engine ended the stream", what);
    const auto more = lines.feed(*piece, take);
    if (!more) return tl::unexpected(more.error());
    if (!*more) return {};
  }
}

}  // namespace roadstead::docker
