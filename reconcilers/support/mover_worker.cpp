#include "reconcilers/support/mover_worker.h"

namespace roadstead::reconcilers {

ContainerSpec mover_container(const std::string& image) {
  ContainerSpec spec;
  spec.image = image;
  spec.user = "0:0";
  spec.capabilities_drop = {"ALL"};
  spec.capabilities_add = {"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID"};
  return spec;
}

std::vector<ArchiveFile> job_files(const mover::Job& job) {
  return {{.path = std::string(mover::kJobPath.substr(1)), .content = mover::to_json(job), .mode = 0600}};
}

Result<WorkerSpec> mover_spec(Context& context, const HostHandle& host, const mover::Job& job, const Limits& limits) {
  return context.images.ensure_mover(host, limits).map([&](const std::string& image) {
    return WorkerSpec{{}, mover_container(image), job_files(job)};
  });
}

}  // namespace roadstead::reconcilers
