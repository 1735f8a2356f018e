#include "operator/adapters/files/file_applier.h"

#include <exception>
#include <utility>

#include "operator/adapters/files/directory_watch.h"
#include "operator/adapters/files/file_sync.h"
#include "operator/adapters/files/manifest_tree.h"
#include "operator/base/log.h"

namespace roadstead::files {
namespace {

constexpr Millis kRescan{60'000};
constexpr Millis kRetry{5'000};
constexpr Millis kQuiet{200};

Result<FileSync::Pass> guarded(FileSync& sync) {
  try {
    return sync.run();
  } catch (const std::exception& broken) {
    return fail(ErrorKind::Internal, "{}", broken.what());
  }
}

}  // namespace

FileApplier::FileApplier(std::filesystem::path directory, ResourceClient& api, Metrics& metrics, const Clock& clock)
    : directory_(std::move(directory)), api_(api), metrics_(metrics), clock_(clock) {}

FileApplier::~FileApplier() { stop(); }

Result<void> FileApplier::start() {
  auto catalog = crds::builtin_catalog();
  if (!catalog) return tl::unexpected(catalog.error());
  catalog_ = std::move(*catalog);
  if (auto readable = find_manifests(directory_); !readable) return tl::unexpected(readable.error());
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

void FileApplier::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void FileApplier::run(const std::stop_token& stop) {
  FileSync sync(directory_, *catalog_, api_, metrics_, clock_);
  DirectoryWatch watch;
  // Before the first pass: what changes while it runs is noticed.
  watch.watch({directory_});
  while (!stop.stop_requested()) {
    const auto pass = guarded(sync);
    if (!pass) log_error("manifests were not applied", {{"error", pass.error().message}});
    const bool unwatched_before = pass && watch.watch(pass->directories);
    const bool again_soon = !pass || pass->again_soon;
    watch.wait(unwatched_before ? kQuiet : again_soon ? kRetry : kRescan, kQuiet, stop);
  }
}

}  // namespace roadstead::files
