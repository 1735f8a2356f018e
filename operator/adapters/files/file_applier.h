#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "crds/yaml/catalog.h"
#include "metrics/metrics.h"
#include "operator/base/clock.h"
#include "operator/base/runnable.h"
#include "operator/ports/resource_client.h"

namespace roadstead::files {

/// Keeps the API at what a directory of manifests says (see FileSync for how), from its start on: when something in the
/// directory changes, and every minute.
class FileApplier final : public Runnable {
 public:
  /// References must outlive this.
  FileApplier(std::filesystem::path directory, ResourceClient& api, Metrics& metrics, const Clock& clock);
  ~FileApplier() override;

  [[nodiscard]] std::string name() const override { return "manifests in " + directory_.string(); }
  /// Errors: NotFound, Unavailable (the directory cannot be read now; later that is only told), Internal.
  [[nodiscard]] Result<void> start() override;
  void stop() override;

 private:
  void run(const std::stop_token& stop);

  const std::filesystem::path directory_;
  ResourceClient& api_;
  Metrics& metrics_;
  const Clock& clock_;
  std::optional<crds::Catalog> catalog_;
  std::jthread thread_;  // last, so that it joins first
};

}  // namespace roadstead::files
