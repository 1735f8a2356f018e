#include "reconcilers/host/reconciler.h"

#include <chrono>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "reconcilers/host/decide.h"
#include "reconcilers/support/pace.h"
#include "reconcilers/support/typed_client.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers {
namespace {

using host::Observed;

/// The disk is measured, and the marks beside volumes are read, at the first look and then this often.
constexpr Millis kSurveyInterval = std::chrono::minutes(5);
constexpr Millis kWhileMeasuring{1'000};

class HostReconciler final : public Reconciler {
 public:
  explicit HostReconciler(Context& context) : context_(context) {}

  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    auto host = get<crds::Host>(context_.api, {}, key.name);
    if (!host) return host.error().kind == ErrorKind::NotFound ? forget(key.name) : tl::unexpected(host.error());
    const Limits limits{.stop = stop, .connect = Millis{5'000}, .idle = Millis{10'000}};
    bool measuring = false;
    const Observed seen = observe(*host, limits, measuring);
    const crds::HostStatus before = host->status;
    host->status = host::status_after(*host, seen, context_.clock.now());
    measure(*host);
    if (auto written = update_status(context_.api, *host); !written) return tl::unexpected(written.error());
    tell_change(*host, before);
    if (measuring) return Action::requeue(kWhileMeasuring);
    return Action::requeue(seen.info ? host::kInterval : host::kRetryInterval);
  }

 private:
  Observed observe(const crds::Host& host, const Limits& limits, bool& measuring) {
    Observed seen;
    auto handle = context_.hosts.get(host.metadata.name);
    if (!handle) {
      seen.info = tl::unexpected(handle.error());
      return seen;
    }
    seen.info = handle->engine->info(limits);
    if (!seen.info) return seen;
    if (auto volumes = handle->engine->list_volumes(limits)) seen.volumes = std::move(*volumes);
    const auto policies = list<crds::BackupPolicy>(context_.api);
    const auto servers = list<crds::BarmanServer>(context_.api);
    if (policies && servers) seen.coverage = host::coverage_of(host, *policies, *servers);
    if (survey_due(host.metadata.name)) measuring = !survey(*handle, *seen.info, seen, limits);
    return seen;
  }

  /// One worker measures the disk under the engine's data root; false while it has not answered yet.
  bool survey(const HostHandle& handle, const EngineInfo& info, Observed& seen, const Limits& limits) {
    const WorkerId id = survey_worker(handle.host, info);
    auto image = context_.images.ensure_mover(handle, limits);
    if (!image) return survey_done(handle.host.metadata.name);  // the next survey tries again
    WorkerSpec spec{.id = id, .container = {}, .files = {}};
    spec.container.image = *image;
    spec.container.network_mode = "none";
    spec.container.mounts = {{MountSpec::Type::Bind, info.root_directory + "/volumes", "/volumes", true}};
    spec.files = {
        {.path = std::string(mover::kJobPath.substr(1)), .content = mover::to_json(mover::Survey{"/volumes"})}};
    // An answer that an earlier operator asked for may be old.
    if (begin_survey(handle.host.metadata.name))
      (void)remove_worker(*handle.engine, id, std::chrono::seconds(0), limits);
    auto worker = ensure_worker(*handle.engine, spec, limits);
    if (worker && worker->state == WorkerState::Running) return false;
    if (worker && worker->result && worker->result->ok)
      if (const auto data = mover::parse_survey_data(worker->result->data)) host::take_survey(seen, *data);
    (void)remove_worker(*handle.engine, id, std::chrono::seconds(0), limits);
    return survey_done(handle.host.metadata.name);
  }

  [[nodiscard]] WorkerId survey_worker(const crds::Host& host, const EngineInfo& info) const {
    return {.installation = context_.installation,
            .owner = key_of(host),
            .item = {},
            .step = "survey",
            .attempt = 1,
            .spec_hash = sha256_hex(info.root_directory).substr(0, 16)};
  }

  // Only the pace of surveys is remembered: an operator that starts anew makes one at once.
  struct Pace {
    bool asked = false;  ///< By this operator, and not answered yet.
    std::optional<Time> done;
  };
  bool survey_due(const std::string& name) {
    std::lock_guard lock(mutex_);
    const auto& done = surveys_[name].done;
    return !done || has_passed(*done, kSurveyInterval, context_.clock.now());
  }
  /// True at the first call of a survey.
  bool begin_survey(const std::string& name) {
    std::lock_guard lock(mutex_);
    return !std::exchange(surveys_[name].asked, true);
  }
  bool survey_done(const std::string& name) {
    std::lock_guard lock(mutex_);
    surveys_[name] = {false, context_.clock.now()};
    return true;
  }

  void measure(const crds::Host& host) {
    const LabelValues labels{host.metadata.name};
    const host::Shown shown = host::shown(host.status);
    context_.metrics.gauge(metric::kHostReachable, labels).set(shown.reachable);
    context_.metrics.gauge(metric::kHostLastSeen, labels).set(shown.last_seen);
    context_.metrics.gauge(metric::kHostFree, labels).set(shown.free_bytes);
    context_.metrics.gauge(metric::kHostUncovered, labels).set(shown.uncovered);
  }

  void tell_change(const crds::Host& host, const crds::HostStatus& before) {
    const auto* was = crds::find_condition(before.conditions, "Reachable");
    const auto* is = crds::find_condition(host.status.conditions, "Reachable");
    if (is == nullptr || (was != nullptr && was->status == is->status && was->reason == is->reason)) return;
    tell(context_.api, host, is->status != crds::ConditionStatus::True, is->reason, is->message);
  }

  Result<Action> forget(const std::string& name) {
    context_.metrics.remove_series({{"host", name}});
    std::lock_guard lock(mutex_);
    surveys_.erase(name);
    return Action::await_change();
  }

  Context& context_;
  std::mutex mutex_;  // guards surveys_
  std::map<std::string, Pace> surveys_;
};

}  // namespace

std::unique_ptr<Reconciler> make_host_reconciler(Context& context) { return std::make_unique<HostReconciler>(context); }

std::vector<ObjectKey> host_wakes(const nlohmann::json& object) {
  const std::string kind = object.value("kind", "");
  if (kind == crds::Kind<crds::BackupPolicy>::kind) {
    const nlohmann::json::json_pointer from("/spec/source/hostRef/name");
    if (!object.contains(from) || !object.at(from).is_string()) return {};
    return {{std::string(crds::Kind<crds::Host>::kind), {}, object.at(from).get<std::string>()}};
  }
  if (kind != crds::Kind<crds::Host>::kind) return {};
  return {{std::string(crds::Kind<crds::Host>::kind), {}, object.at("metadata").value("name", "")}};
}

}  // namespace roadstead::reconcilers
