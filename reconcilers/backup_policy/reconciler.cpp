#include "reconcilers/backup_policy/reconciler.h"

#include <nlohmann/json.hpp>

#include "crds/barman_server.h"
#include "reconcilers/backup_policy/decide.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

using backup_policy::Plan;
using backup_policy::ReadSchedule;

// A clock that is set while nobody looks is noticed after this at the latest.
constexpr Millis kLongest = std::chrono::minutes(5);
constexpr Millis kShortest{100};

class BackupPolicyReconciler final : public Reconciler {
 public:
  explicit BackupPolicyReconciler(Context& context) : context_(context) {}

  Result<Action> reconcile(const ObjectKey& key, std::stop_token) override {
    auto policy = get<crds::BackupPolicy>(context_.api, key.ns, key.name);
    if (!policy) return policy.error().kind == ErrorKind::NotFound ? forget(key) : tl::unexpected(policy.error());
    if (policy->metadata.deletion_timestamp) return Action::await_change();
    auto backups = list<crds::Backup>(context_.api, key.ns, fmt::format("{}={}", crds::kPolicyLabel, key.name));
    if (!backups) return tl::unexpected(backups.error());
    const auto schedule = backup_policy::read_schedule(policy->spec.schedule);
    const Time now = context_.clock.now();
    Plan plan = backup_policy::plan_for(*policy, *backups, schedule, find_source(*policy), now);
    // The object first: its name is its scheduled time, so that a status lost in between repeats nothing.
    if (plan.create)
      if (auto made = make_run(*policy, *plan.create); !made) return tl::unexpected(made.error());
    policy->status = std::move(plan.status);
    if (auto written = update_status(context_.api, *policy); !written) return tl::unexpected(written.error());
    for (auto& event : plan.events)
      tell(context_.api, *policy, event.warning, std::move(event.reason), std::move(event.message));
    measure(*policy, schedule, now);
    if (!plan.look_again) return Action::requeue(kLongest);
    return Action::requeue(std::clamp(*plan.look_again - now, kShortest, kLongest));
  }

 private:
  Result<void> find_source(const crds::BackupPolicy& policy) {
    if (!policy.spec.source.barman) return {};
    const std::string& name = policy.spec.source.barman->server_ref.name;
    auto server = get<crds::BarmanServer>(context_.api, policy.metadata.ns, name);
    if (server) return {};
    if (server.error().kind != ErrorKind::NotFound) return tl::unexpected(server.error());
    return fail(
        ErrorKind::NotFound,
        "spec.source.barman.serverRef: there is no BarmanServer {} in namespace {}, so the runs wait; apply it, "
        "or correct the name (see: roadstead get barmanservers -n {})",
        name, policy.metadata.ns, policy.metadata.ns);
  }

  Result<void> make_run(const crds::BackupPolicy& policy, const crds::Backup& backup) {
    auto created = context_.api.create(crds::to_json(backup), {});
    // Made by an operator that ended before it could write the status.
    if (!created && created.error().kind == ErrorKind::AlreadyExists) return {};
    if (!created) return tl::unexpected(created.error());
    tell(context_.api, policy, false, "BackupMade", fmt::format("Made Backup {}", backup.metadata.name));
    return {};
  }

  void measure(const crds::BackupPolicy& policy, const Result<ReadSchedule>& schedule, Time now) {
    const LabelValues labels{policy.metadata.ns, policy.metadata.name};
    const crds::BackupPolicyStatus& status = policy.status;
    const auto time = [&](const GaugeDefinition& definition, std::optional<Time> value) {
      context_.metrics.gauge(definition, labels).set(value.value_or(Time{}));
    };
    time(metric::kPolicyLastSuccess, status.last_success_time);
    time(metric::kPolicyLastFailure, status.last_failure_time);
    time(metric::kPolicyNextRun, status.next_run_time);
    time(metric::kPolicyLastMissed, status.miss_noticed_time);
    const auto interval = schedule ? backup_policy::interval_at(*schedule, now) : std::nullopt;
    context_.metrics.gauge(metric::kPolicyInterval, labels)
        .set(interval ? static_cast<double>(interval->count()) / 1000.0 : 0.0);
    context_.metrics.gauge(metric::kPolicySuspended, labels).set(policy.spec.suspend ? 1 : 0);
    // The status counts on when the operator starts anew; the counter follows it.
    Counter missed = context_.metrics.counter(metric::kPolicyMissedRuns, labels);
    missed.add(std::max(0.0, static_cast<double>(status.missed_runs) - missed.value()));
    for (const char* result : {"Succeeded", "Failed"})
      (void)context_.metrics.counter(metric::kBackupsFinished, {labels[0], labels[1], result});
  }

  Result<Action> forget(const ObjectKey& key) {
    context_.metrics.remove_series({{"namespace", key.ns}, {"policy", key.name}});
    return Action::await_change();
  }

  Context& context_;
};

}  // namespace

std::unique_ptr<Reconciler> make_backup_policy_reconciler(Context& context) {
  return std::make_unique<BackupPolicyReconciler>(context);
}

std::vector<ObjectKey> backup_policy_wakes(const nlohmann::json& object) {
  const std::string policy_kind(crds::Kind<crds::BackupPolicy>::kind);
  const std::string kind = object.value("kind", "");
  if (!object.contains("metadata")) return {};
  const auto& metadata = object.at("metadata");
  if (kind == policy_kind) return {{policy_kind, metadata.value("namespace", ""), metadata.value("name", "")}};
  if (kind != crds::Kind<crds::Backup>::kind || !metadata.contains("labels")) return {};
  const std::string policy = metadata.at("labels").value(std::string(crds::kPolicyLabel), "");
  if (policy.empty()) return {};
  return {{policy_kind, metadata.value("namespace", ""), policy}};
}

}  // namespace roadstead::reconcilers
