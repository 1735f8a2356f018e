#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/result.h"
#include "operator/ports/transport.h"

namespace roadstead {

using Labels = std::map<std::string, std::string>;

struct EngineInfo {
  std::string id;           ///< The engine's own id: tells a replaced machine from a restarted one.
  std::string version;      ///< "20.10.24"
  std::string api_version;  ///< The version spoken, after negotiation: "1.41".
  std::string operating_system;
  std::string architecture;  ///< "x86_64"
  std::string storage_driver;
  std::string root_directory;  ///< The engine's data root on its host.
  std::string user_namespace;  ///< Not empty where the engine remaps users ("name=userns" among its security options).
  int cpus = 0;
  std::int64_t memory_bytes = 0;
};

struct MountSpec {
  enum class Type { Bind, Volume };
  Type type = Type::Volume;
  std::string source;  ///< Volume name, or absolute path on the host.
  std::string target;  ///< Absolute path in the container.
  bool read_only = false;
};

struct PortSpec {
  std::uint16_t container = 0;
  std::uint16_t host = 0;  ///< 0: the engine chooses.
  std::string host_ip;     ///< Empty: every address.
};

/// What a container is created from. The adapter adds what every container of ours has: LogConfig json-file,
/// NoCopy on volume mounts, UsernsMode host where the engine remaps users.
struct ContainerSpec {
  std::string name;
  std::string image;
  std::vector<std::string> entrypoint;  ///< Empty: the image's.
  std::vector<std::string> command;
  std::vector<std::string> environment;  ///< "NAME=value"; never a secret.
  std::string user;                      ///< "uid:gid"; empty: the image's.
  Labels labels;
  std::vector<MountSpec> mounts;
  std::string network_mode;  ///< "none", "bridge", "host"; empty: the engine's default.
  std::vector<PortSpec> ports;
  std::vector<std::string> extra_hosts;  ///< "name:address"
  std::vector<std::string> capabilities_add;
  std::vector<std::string> capabilities_drop;
  std::string restart_policy = "no";  ///< no | always | unless-stopped | on-failure
  std::string stop_signal;
  std::optional<std::chrono::seconds> stop_timeout;
  bool init = false;
  std::int64_t shm_bytes = 0;  ///< 0: the engine's default.
};

enum class ContainerState { Created, Running, Paused, Restarting, Removing, Exited, Dead };
std::string_view to_string(ContainerState state);

struct MountPoint {
  std::string type;    ///< "volume", "bind", "tmpfs"
  std::string name;    ///< Volume name, where it is one.
  std::string source;  ///< Path on the host.
  std::string destination;
  bool read_only = false;
};

struct ContainerSummary {
  std::string id;
  std::string name;  ///< Without the leading slash.
  std::string image;
  ContainerState state = ContainerState::Created;
  Labels labels;
  std::vector<MountPoint> mounts;
};

struct ContainerInfo {
  std::string id;
  std::string name;
  std::string image;  ///< As it was asked for.
  std::string image_id;
  ContainerState state = ContainerState::Created;
  int exit_code = 0;  ///< Only meaningful when Exited or Dead.
  bool oom_killed = false;
  std::string error;  ///< What the engine says went wrong at start.
  std::optional<Time> created_at, started_at, finished_at;
  Labels labels;
  std::vector<MountPoint> mounts;
  std::string restart_policy;
  int restart_maximum = 0;
  int restart_count = 0;
  bool auto_remove = false;
  std::map<std::string, std::uint16_t> published_ports;  ///< "10022/tcp" → port on the host.
  std::string ip_address;                                ///< On its first network; empty while it does not run.
};

/// A file for an archive upload, or out of a download.
struct ArchiveFile {
  std::string path;  ///< Relative to the directory it is put into: "etc/barman.d/montagu.conf".
  std::string content;
  std::uint32_t mode = 0600;
  std::uint32_t uid = 0, gid = 0;
  bool directory = false;  ///< An (empty) directory; content is ignored.
};

struct ExecSpec {
  std::vector<std::string> command;
  std::string user;
  std::vector<std::string> environment;
  std::string input;                             ///< Written to its standard input, which is then closed.
  std::chrono::milliseconds time_limit{30'000};  ///< Whole run; then Timeout (the process is left to itself).
};

struct ExecResult {
  int exit_code = 0;
  std::string out, err;  ///< At most 4 MiB each; more is an error.
};

struct LogLine {
  Time time;
  bool error_stream = false;
  std::string text;  ///< Without the line's end.
};

struct LogOptions {
  int tail = 200;  ///< Last lines; -1 for all.
  std::optional<Time> since;
};

struct VolumeInfo {
  std::string name, driver, mountpoint;
  Labels labels;
  std::map<std::string, std::string> options;
  std::optional<std::int64_t> size_bytes;  ///< Only from disk_usage().
};

struct ImageInfo {
  std::string id;  ///< "sha256:…"
  std::vector<std::string> tags, digests;
  std::string architecture;
  std::int64_t size_bytes = 0;
};

struct RegistryCredentials {
  std::string server, username, password;
};

struct EngineEvent {
  std::string type, action;  ///< "container", "die"
  std::string actor_id;
  Labels attributes;  ///< The container's labels, its name, exit code.
  Time time;
};

/// Type of the first event of every stream, which is none of the engine's: from here on nothing is missed.
inline constexpr std::string_view kStreamOpened = "stream-opened";

/// Gives the next piece of a long body, an empty span at its end.
using ByteSource = std::function<Result<std::span<const std::byte>>()>;

/// One Docker Engine, API 1.41 and newer. Every call may be made from several threads at once; none outlives its
/// limits. Names stand wherever a whole id may. Errors, where nothing else is said: NotFound (no such container, image,
/// volume), Conflict (name taken, in use), Unavailable (engine not reached: nothing is known), Internal (it was reached
/// and says that it could not do it), Timeout, Cancelled, Invalid.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual Result<EngineInfo> info(const Limits& limits) = 0;

  /// Creates, does not start. Returns the id. Conflict: the name is taken; NotFound: the image is not there.
  virtual Result<std::string> create_container(const ContainerSpec& spec, const Limits& limits) = 0;
  /// A running container counts as started.
  virtual Result<void> start_container(const std::string& name, const Limits& limits) = 0;
  /// `grace` is the time before SIGKILL (Engine API, POST /containers/{id}/stop, parameter t). A stopped one counts as
  /// stopped.
  virtual Result<void> stop_container(const std::string& name, std::chrono::seconds grace, const Limits& limits) = 0;
  virtual Result<void> kill_container(const std::string& name, const std::string& signal, const Limits& limits) = 0;
  /// Force: also when it runs. Anonymous volumes go with it. One that is gone counts as removed.
  virtual Result<void> remove_container(const std::string& name, bool force, const Limits& limits) = 0;
  virtual Result<ContainerInfo> inspect_container(const std::string& name, const Limits& limits) = 0;
  /// All states; every label must match ("" as value: any value of that label).
  virtual Result<std::vector<ContainerSummary>> list_containers(const Labels& labels, const Limits& limits) = 0;
  virtual Result<void> set_restart_policy(const std::string& name, const std::string& policy, int maximum,
                                          const Limits& limits) = 0;
  virtual Result<void> pause_container(const std::string& name, const Limits& limits) = 0;
  virtual Result<void> unpause_container(const std::string& name, const Limits& limits) = 0;
  /// Waits until it has exited; returns its exit code. `limits.idle` bounds the whole wait.
  virtual Result<int> wait_container(const std::string& name, const Limits& limits) = 0;

  virtual Result<std::vector<LogLine>> logs(const std::string& name, const LogOptions& options,
                                            const Limits& limits) = 0;
  /// Calls `line` for each line until the container ends, `line` returns false or the limits' stop is asked for.
  virtual Result<void> follow_logs(const std::string& name, const LogOptions& options,
                                   const std::function<bool(const LogLine&)>& line, const Limits& limits) = 0;

  virtual Result<ExecResult> exec(const std::string& name, const ExecSpec& spec, const Limits& limits) = 0;

  /// Puts files below `directory`, which must exist in the container (running or not, even just created).
  virtual Result<void> upload(const std::string& name, const std::string& directory, std::span<const ArchiveFile> files,
                              const Limits& limits) = 0;
  /// The regular files of an archive of `path` in the container. More than `at_most` bytes of content: Invalid.
  virtual Result<std::vector<ArchiveFile>> download(const std::string& name, const std::string& path,
                                                    std::size_t at_most, const Limits& limits) = 0;

  virtual Result<ImageInfo> inspect_image(const std::string& reference, const Limits& limits) = 0;
  virtual Result<void> pull_image(const std::string& reference, const std::optional<RegistryCredentials>& credentials,
                                  const Limits& limits) = 0;
  /// `docker load`: an archive made by `docker save`.
  virtual Result<void> load_image(const ByteSource& archive, const Limits& limits) = 0;
  /// `docker import`: a root file system becomes the image `reference`; `changes` are Dockerfile lines ("ENTRYPOINT
  /// [...]").
  virtual Result<void> import_image(const ByteSource& archive, const std::string& reference,
                                    std::span<const std::string> changes, const Limits& limits) = 0;

  virtual Result<std::vector<VolumeInfo>> list_volumes(const Limits& limits) = 0;
  virtual Result<VolumeInfo> inspect_volume(const std::string& name, const Limits& limits) = 0;
  /// One that exists counts as created.
  virtual Result<VolumeInfo> create_volume(const std::string& name, const Labels& labels, const Limits& limits) = 0;
  virtual Result<void> remove_volume(const std::string& name, const Limits& limits) = 0;

  /// Volumes with their sizes (`GET /system/df`); slow where volumes are large.
  virtual Result<std::vector<VolumeInfo>> disk_usage(const Limits& limits) = 0;

  /// Container events with all these labels, the first of type kStreamOpened, until `event` returns false, the stream
  /// breaks (Unavailable) or stop is asked for (Cancelled).
  virtual Result<void> events(const Labels& labels, const std::function<bool(const EngineEvent&)>& event,
                              const Limits& limits) = 0;
};

}  // namespace roadstead
