#include "operator/operator_run.h"

#include <pthread.h>

#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <vector>

#include "metrics/metrics.h"
#include "operator/adapters/apiserver/api_server.h"
#include "operator/adapters/apiserver/metrics_server.h"
#include "operator/adapters/docker/engine_factory.h"
#include "operator/adapters/files/file_applier.h"
#include "operator/adapters/files/secrets.h"
#include "operator/adapters/http/http_hooks.h"
#include "operator/adapters/ssh/ssh_transport.h"
#include "operator/adapters/store/crds_admission.h"
#include "operator/adapters/store/store.h"
#include "operator/base/log.h"
#include "operator/base/text.h"
#include "operator/built_in_crds.h"
#include "operator/host_events.h"
#include "operator/installation_secret.h"
#include "operator/runtime/controller.h"
#include "operator/runtime/manager.h"
#include "operator/runtime/scheduler.h"
#include "operator/schedule_round.h"
#include "operator/watch_source.h"
#include "reconcilers/backup/reconciler.h"
#include "reconcilers/backup_policy/reconciler.h"
#include "reconcilers/barman_server/reconciler.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/restore_request/reconciler.h"

namespace roadstead {
namespace {

/// One kind's controller: how many keys at once, who looks at them, what wakes them.
struct KindSetup {
  std::string kind;
  int workers;
  std::unique_ptr<Reconciler> (*make)(reconcilers::Context&);
  std::vector<ObjectKey> (*wakes)(const nlohmann::json&);
};

const std::vector<KindSetup>& kind_setups() {
  using namespace reconcilers;
  static const std::vector<KindSetup> all{
      {"Host", 4, make_host_reconciler, host_wakes},
      {"BarmanServer", 4, make_barman_server_reconciler, barman_server_wakes},
      {"BackupPolicy", 4, make_backup_policy_reconciler, backup_policy_wakes},
      {"Backup", 4, make_backup_reconciler, backup_wakes},
      {"RestoreRequest", 4, make_restore_request_reconciler, restore_request_wakes},
  };
  return all;
}

/// Reconcilers and controllers of all kinds; each controller watches every kind, since each says itself what wakes it.
class Controllers {
 public:
  Controllers(reconcilers::Context& context, Metrics& metrics, const MonotonicClock& clock) {
    for (const KindSetup& setup : kind_setups()) {
      reconcilers_.push_back(setup.make(context));
      auto controller = std::make_unique<Controller>(
          ControllerOptions{.name = lower(setup.kind), .workers = setup.workers}, *reconcilers_.back(), metrics, clock);
      for (const KindSetup& watched : kind_setups())
        controller->add_source(std::make_unique<WatchSource>(context.api, watched.kind, setup.wakes));
      by_kind_.emplace(setup.kind, std::move(controller));
    }
  }

  void wake(const ObjectKey& key) {
    const auto found = by_kind_.find(key.kind);
    if (found != by_kind_.end()) found->second->enqueue(key);
  }

  void add_to(Manager& manager) {
    for (auto& [kind, controller] : by_kind_) manager.add(*controller);
  }

 private:
  std::vector<std::unique_ptr<Reconciler>> reconcilers_;
  std::map<std::string, std::unique_ptr<Controller>> by_kind_;  // after the reconcilers: goes first
};

/// The mover's archive beside the program, where none was named.
std::string mover_archive(const cli::OperatorOptions& options) {
  if (!options.mover_image.empty()) return options.mover_image;
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / "roadstead-mover.tar";
}

/// Signals that end the program are blocked in every thread and waited for in one.
sigset_t block_ending_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  return ending;
}

void wait_for(const sigset_t& signals) {
  int which = 0;
  sigwait(&signals, &which);
  log_info("stopping", {{"signal", which == SIGTERM ? "SIGTERM" : "SIGINT"}});
}

Result<void> serve(const cli::OperatorOptions& options, const std::string& version) {
  const sigset_t ending = block_ending_signals();
  const SystemClock clock;
  const SteadyClock steady;
  const BuiltInCrds& crds = built_in_crds();

  auto directory = store::DataDirectory::open(options.data_dir);
  if (!directory) return tl::unexpected(directory.error());
  auto secret = installation_secret(options.data_dir);
  if (!secret) return tl::unexpected(secret.error());
  auto mover = reconcilers::mover_reference_of(mover_archive(options), version);
  if (!mover) return tl::unexpected(mover.error());

  Metrics metrics(clock);
  metrics.gauge(metric::kBuildInfo, {version}).set(1);
  metrics.gauge(metric::kStartTimestamp).set(clock.now());
  store::CrdsAdmission admission(crds.compiled);
  auto store = store::Store::open(std::move(*directory), crds.types, admission, clock);
  if (!store) return tl::unexpected(store.error());
  ResourceClient& api = **store;

  files::FileEnvSecrets secrets;
  docker::DockerEngineFactory engines(ssh::make_ssh_transport);
  reconcilers::Hosts hosts(api, secrets, engines);
  reconcilers::Images images(hosts, {mover_archive(options), *mover, options.image_archives});
  const auto http_hooks = http::make_http_hooks();
  reconcilers::Context context{api,     hosts,           images, secrets, metrics, clock, options.installation,
                               *secret, http_hooks.get()};

  Controllers controllers(context, metrics, steady);
  HostEvents host_events(api, hosts, options.installation, [&](const ObjectKey& key) { controllers.wake(key); });
  Scheduler scheduler(clock, steady, metrics);
  scheduler.each_round([&] {
    if (auto done = schedule_round(api, [&](const ObjectKey& key) { controllers.wake(key); }); !done)
      log_warning("the schedules cannot be looked at", {{"error", done.error().message}});
  });
  std::unique_ptr<files::FileApplier> files;
  if (!options.manifests_dir.empty())
    files = std::make_unique<files::FileApplier>(options.manifests_dir, api, metrics, clock);

  auto api_server = apiserver::ApiServer::start({.data_dir = options.data_dir,
                                                 .address = options.listen_address,
                                                 .port = options.listen_port,
                                                 .version = version},
                                                api, crds.types, crds.compiled, clock);
  if (!api_server) return tl::unexpected(api_server.error());
  auto metrics_server = apiserver::MetricsServer::start(
      {.address = options.metrics_address, .port = options.metrics_port}, [&] { return metrics.render(); });
  if (!metrics_server) return tl::unexpected(metrics_server.error());

  Manager manager;
  manager.add(scheduler);
  if (files) manager.add(*files);
  controllers.add_to(manager);
  manager.add(host_events);
  if (auto started = manager.start(); !started) return started;
  log_info("operator runs",
           {{"version", version},
            {"installation", options.installation},
            {"data", options.data_dir},
            {"api", fmt::format("https://{}:{}", options.listen_address, (*api_server)->port())},
            {"metrics", fmt::format("http://{}:{}/metrics", options.metrics_address, (*metrics_server)->port())}});
  wait_for(ending);
  manager.stop();
  (*api_server)->stop();
  (*metrics_server)->stop();
  return {};
}

}  // namespace

int run_operator(const cli::OperatorOptions& options, const std::string& version) {
  set_log_level(options.log_level);
  auto served = serve(options, version);
  if (served) return cli::kExitOk;
  std::cerr << "roadstead operator: " << served.error().message << "\n";
  return cli::kExitError;
}

}  // namespace roadstead
