#pragma once

#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "operator/adapters/docker/http.h"
#include "operator/ports/engine.h"

namespace roadstead::docker {

class LogAssembler;

class DockerEngine final : public Engine {
 public:
  explicit DockerEngine(std::shared_ptr<Transport> transport) : http_(std::move(transport)) {}

  Result<EngineInfo> info(const Limits& limits) override;

  Result<std::string> create_container(const ContainerSpec& spec, const Limits& limits) override;
  Result<void> start_container(const std::string& name, const Limits& limits) override;
  Result<void> stop_container(const std::string& name, std::chrono::seconds grace, const Limits& limits) override;
  Result<void> kill_container(const std::string& name, const std::string& signal, const Limits& limits) override;
  Result<void> remove_container(const std::string& name, bool force, const Limits& limits) override;
  Result<ContainerInfo> inspect_container(const std::string& name, const Limits& limits) override;
  Result<std::vector<ContainerSummary>> list_containers(const Labels& labels, const Limits& limits) override;
  Result<void> set_restart_policy(const std::string& name, const std::string& policy, int maximum,
                                  const Limits& limits) override;
  Result<void> pause_container(const std::string& name, const Limits& limits) override;
  Result<void> unpause_container(const std::string& name, const Limits& limits) override;
  Result<int> wait_container(const std::string& name, const Limits& limits) override;

  Result<std::vector<LogLine>> logs(const std::string& name, const LogOptions& options, const Limits& limits) override;
  Result<void> follow_logs(const std::string& name, const LogOptions& options,
                           const std::function<bool(const LogLine&)>& line, const Limits& limits) override;

  Result<ExecResult> exec(const std::string& name, const ExecSpec& spec, const Limits& limits) override;

  Result<void> upload(const std::string& name, const std::string& directory, std::span<const ArchiveFile> files,
                      const Limits& limits) override;
  Result<std::vector<ArchiveFile>> download(const std::string& name, const std::string& path, std::size_t at_most,
                                            const Limits& limits) override;

  Result<ImageInfo> inspect_image(const std::string& reference, const Limits& limits) override;
  Result<void> pull_image(const std::string& reference, const std::optional<RegistryCredentials>& credentials,
                          const Limits& limits) override;
  Result<void> load_image(const ByteSource& archive, const Limits& limits) override;
  Result<void> import_image(const ByteSource& archive, const std::string& reference,
                            std::span<const std::string> changes, const Limits& limits) override;

  Result<std::vector<VolumeInfo>> list_volumes(const Limits& limits) override;
  Result<VolumeInfo> inspect_volume(const std::string& name, const Limits& limits) override;
  Result<VolumeInfo> create_volume(const std::string& name, const Labels& labels, const Limits& limits) override;
  Result<void> remove_volume(const std::string& name, const Limits& limits) override;
  Result<std::vector<VolumeInfo>> disk_usage(const Limits& limits) override;

  Result<void> events(const Labels& labels, const std::function<bool(const EngineEvent&)>& event,
                      const Limits& limits) override;

 private:
  /// What was found out about the engine; asked again after the connection was lost, for then it may be another
  /// version.
  struct Known {
    std::string api_version;
    std::optional<bool> remaps_users;
  };

  Result<std::string> api_version(const Limits& limits);
  Result<bool> remaps_users(const Limits& limits);
  void forget();

  /// The path of the container that has exactly this name or full id. Errors: as the calls that need it; NotFound.
  Result<std::string> container_path(const std::string& what, const std::string& name, const Limits& limits);

  /// One call: `target` without the version. An answer of 400 and more becomes its Error.
  enum class On { Pool, OwnConnection };
  Result<HttpReply> call(On on, HttpRequest request, const Limits& limits);
  Result<void> command(const std::string& what, HttpRequest request, const Limits& limits);
  Result<nlohmann::json> query(const std::string& what, HttpRequest request, const Limits& limits);
  Result<void> follow_progress(const std::string& what, HttpRequest request, const Limits& limits);
  Result<bool> has_terminal(const std::string& name, const Limits& limits);
  Result<void> read_logs(const std::string& name, const Parameters& parameters, const Limits& limits,
                         LogAssembler& log);
  Result<ExecResult> run_exec(const std::string& id, const ExecSpec& spec, const Limits& limits);
  Result<int> exec_exit_code(const std::string& id, std::chrono::steady_clock::time_point deadline,
                             const Limits& limits);

  HttpClient http_;
  std::mutex mutex_;  // guards known_
  std::optional<Known> known_;
};

}  // namespace roadstead::docker
