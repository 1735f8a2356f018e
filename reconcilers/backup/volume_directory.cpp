// directory: an engine refuses a bind whose source is missing, so a mover that sees the whole repository makes it
// first.

#include "reconcilers/backup/volume_hosts.h"
#include "reconcilers/backup/volume_steps.h"
#include "reconcilers/backup/volume_worker.h"
#include "reconcilers/support/mover_worker.h"

namespace roadstead::reconcilers::backup {

Outcome make_directory(Run& run, const Plan& plan, const StepRef& ref) {
  auto to = run.context.hosts.get(ref.place->host);
  if (!to) return from_lookup(to.error());
  if (!to->host.spec.repository)
    return waits("NoRepository", fmt::format("host {} keeps no backups any more", ref.place->host));
  const WorkerId id = worker_id(run, plan, ref, "directory");
  const auto make = [&]() -> Result<WorkerSpec> {
    const mover::MakeDirectory job{
        .path = fmt::format("{}/{}", kRepositoryMount,
                            mover::repository_directory(ref.place->source_host, ref.place->volume))};
    auto spec = mover_spec(run.context, *to, job, run.limits);
    if (!spec) return spec;
    spec->container.network_mode = "none";
    spec->container.mounts.push_back(
        {MountSpec::Type::Volume, to->host.spec.repository->volume, std::string(kRepositoryMount), false});
    return spec;
  };
  Attempt attempt = attempt_of(run, ref, id.step);
  auto end = look_at_worker({&*to, id, make, kBriefly}, attempt, run.limits);
  remember_attempt(run, ref, attempt, id, *to);
  if (const auto* underway = std::get_if<Underway>(&end)) return from_underway(*underway);
  if (const auto* error = std::get_if<EngineError>(&end)) return from_error(error->error, *to, false);
  remove_after_write(run, *to, id, attempt.number);
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result) return worker_failed(run.entry(ref).worker, *to, seen);
  if (!seen.result->ok) return from_failure(run, ref, *seen.result, *to);
  return Done{"{}", fmt::format("The repository directory is there on host {}.", ref.place->host)};
}

}  // namespace roadstead::reconcilers::backup
