#include "reconcilers/backup_policy/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "crds/barman_server.h"
#include "reconcilers/backup_policy/decide.h"
#include "reconcilers/backup_policy/keeper.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

using backup_policy::Keeper;
using backup_policy::Named;
using backup_policy::Plan;
using backup_policy::ReadSchedule;
using backup_policy::Scope;

// A clock that is set while nobody looks is noticed after this at the latest.
constexpr Millis kLongest = std::chrono::minutes(5);
constexpr Millis kShortest{100};

class BackupPolicyReconciler final : public Reconciler {
 public:
  explicit BackupPolicyReconciler(Context& context) : context_(context), keeper_(context) {}

  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    const Limits limits{.stop = stop, .connect = Millis{5'000}, .idle = Millis{20'000}};
    auto policy = get<crds::BackupPolicy>(context_.api, key.ns, key.name);
    if (!policy)
      return policy.error().kind == ErrorKind::NotFound ? forget(key, limits) : tl::unexpected(policy.error());
    if (policy->metadata.deletion_timestamp) return Action::await_change();
    auto objects = list<crds::Backup>(context_.api, key.ns);
    if (!objects) return tl::unexpected(objects.error());
    auto scope = find_scope(*policy);
    if (!scope) return tl::unexpected(scope.error());
    const auto schedule = backup_policy::read_schedule(policy->spec.schedule);
    const Time now = context_.clock.now();
    Plan plan = backup_policy::plan_for(*policy, of_policy(*objects, key.name), schedule, scope->ready, now);
    // The object first: its name is its scheduled time, so that a status lost in between repeats nothing.
    if (plan.create)
      if (auto made = make_run(*policy, *plan.create); !made) return tl::unexpected(made.error());
    policy->status = std::move(plan.status);
    Keeper::Look look;
    if (schedule && !scope->places.empty()) {
      auto looked = keeper_.look(*policy, *scope, *objects, *schedule, limits);
      if (!looked) return tl::unexpected(looked.error());
      look = std::move(*looked);
    }
    if (auto written = update_status(context_.api, *policy); !written) return tl::unexpected(written.error());
    for (const auto& stored : look.after_write) stored();
    std::move(look.events.begin(), look.events.end(), std::back_inserter(plan.events));
    for (auto& event : plan.events)
      tell(context_.api, *policy, event.warning, std::move(event.reason), std::move(event.message));
    measure(*policy, schedule, now);
    measure_repositories(*policy);
    Millis wait = kLongest;
    if (plan.look_again) wait = std::min(wait, *plan.look_again - now);
    if (look.again) wait = std::min(wait, *look.again);
    return Action::requeue(std::max(wait, kShortest));
  }

 private:
  static std::vector<crds::Backup> of_policy(const std::vector<crds::Backup>& all, const std::string& policy) {
    std::vector<crds::Backup> own;
    std::copy_if(all.begin(), all.end(), std::back_inserter(own), [&](const crds::Backup& object) {
      const auto label = object.metadata.labels.find(std::string(crds::kPolicyLabel));
      return label != object.metadata.labels.end() && label->second == policy;
    });
    return own;
  }

  /// What the policy backs up and where to; of a barman server only whether it is there.
  Result<Scope> find_scope(const crds::BackupPolicy& policy) {
    if (policy.spec.source.barman) {
      Scope scope;
      scope.ready = find_server(policy);
      return scope;
    }
    Named named;
    std::set<std::string> hosts;
    if (policy.spec.source.host_ref) hosts.insert(policy.spec.source.host_ref->name);
    for (const crds::Destination& destination : policy.spec.destinations) hosts.insert(destination.host_ref.name);
    for (const std::string& name : hosts) {
      auto host = get<crds::Host>(context_.api, {}, name);
      if (host) named.hosts.emplace(name, std::move(*host));
      if (!host && host.error().kind != ErrorKind::NotFound) return tl::unexpected(host.error());
    }
    if (policy.spec.source.repository)
      for (const crds::NameRef& ref : policy.spec.source.repository->policy_refs) {
        auto copied = get<crds::BackupPolicy>(context_.api, policy.metadata.ns, ref.name);
        if (copied) named.policies.emplace(ref.name, std::move(*copied));
        if (!copied && copied.error().kind != ErrorKind::NotFound) return tl::unexpected(copied.error());
      }
    return backup_policy::scope_of(policy, named);
  }

  Result<void> find_server(const crds::BackupPolicy& policy) {
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

  void measure_repositories(const crds::BackupPolicy& policy) {
    for (const crds::RepositoryStatus& one : policy.status.repositories) {
      const LabelValues labels{policy.metadata.ns, policy.metadata.name, one.host, one.source_host, one.volume};
      const auto number = [&](const GaugeDefinition& definition, std::int64_t value) {
        context_.metrics.gauge(definition, labels).set(static_cast<double>(value));
      };
      if (one.last_listed_time) {
        number(metric::kSnapshots, one.snapshots);
        number(metric::kRepositoryStored, one.stored_bytes);
        context_.metrics.gauge(metric::kSnapshotNewest, labels).set(one.newest.value_or(Time{}));
      }
      number(metric::kRepositoryDamaged, one.damaged_extents);
      context_.metrics.gauge(metric::kRepositoryLastVerified, labels).set(one.last_verified_time.value_or(Time{}));
    }
    if (policy.spec.source.barman) return;
    context_.metrics.gauge(metric::kPolicySourceSuspicious, {policy.metadata.ns, policy.metadata.name})
        .set(crds::is_true(policy.status.conditions, "SourceSuspicious") ? 1 : 0);
    const auto* health = crds::find_condition(policy.status.conditions, "RepositoryHealthy");
    context_.metrics.gauge(metric::kPolicyRepositoryUnhealthy, {policy.metadata.ns, policy.metadata.name})
        .set(health != nullptr && health->status == crds::ConditionStatus::False ? 1 : 0);
  }

  Result<Action> forget(const ObjectKey& key, const Limits& limits) {
    keeper_.forget(key, limits);
    context_.metrics.remove_series({{"namespace", key.ns}, {"policy", key.name}});
    return Action::await_change();
  }

  Context& context_;
  Keeper keeper_;
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
