#pragma once

#include <memory>

#include "operator/adapters/kube/https_client.h"
#include "operator/adapters/kube/kube_config.h"
#include "operator/ports/api_client.h"
#include "operator/ports/resource_type.h"

namespace roadstead::kube {

struct KubeClientOptions {
  Millis timeout{30'000};         ///< One request.
  Millis watch_silence{300'000};  ///< A watch that brings nothing, not even a bookmark, for so long counts as broken.
};

/// The resources of a Kubernetes API over HTTPS. Safe to use from several threads; a watch has a thread of its own.
/// Errors are read from the Status' reason, else from the HTTP code; Unavailable names the server and what was tried.
class KubeClient final : public ApiClient {
 public:
  /// Does not connect yet. `types` outlives the client. Errors: Invalid (server is not an https:// address).
  [[nodiscard]] static Result<std::unique_ptr<KubeClient>> make(KubeConfig config, const ResourceTypes& types,
                                                                KubeClientOptions options = {});
  ~KubeClient() override;

  Result<nlohmann::json> get(const ObjectKey& key) override;
  Result<ResourceList> list(const std::string& kind, const ListOptions& options) override;
  Result<nlohmann::json> create(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update_status(const nlohmann::json& object, const WriteOptions& options) override;
  Result<ApplyResult> apply(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> remove(const ObjectKey& key, const Preconditions& preconditions) override;
  Result<std::unique_ptr<Watch>> watch(const std::string& kind, const ListOptions& options,
                                       const std::string& resource_version) override;
  Result<void> record(const EventRecord& event) override;
  Result<nlohmann::json> table(const std::string& kind, const std::string& name, const ListOptions& options) override;
  Result<std::unique_ptr<Watch>> watch_table(const std::string& kind, const ListOptions& options,
                                             const std::string& resource_version) override;
  Result<nlohmann::json> server_version() override;
  [[nodiscard]] std::string address() const override;

 private:
  KubeClient(std::unique_ptr<HttpsClient> requests, std::unique_ptr<HttpsClient> watches, const ResourceTypes& types);
  Result<nlohmann::json> write(const char* method, const nlohmann::json& object, bool status,
                               const WriteOptions& options);
  Result<std::unique_ptr<Watch>> open_watch(const std::string& kind, const ListOptions& options,
                                            const std::string& resource_version, const char* accept);

  const std::unique_ptr<HttpsClient> requests_;
  const std::unique_ptr<HttpsClient>
      watches_;  ///< A time-out of cpprest is one of silence: a watch needs a longer one.
  const ResourceTypes& types_;
};

}  // namespace roadstead::kube
