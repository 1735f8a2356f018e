// The program: everything concrete meets here and in operator_run.cpp.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <iostream>

#include "operator/adapters/kube/kube_client.h"
#include "operator/adapters/kube/kube_config.h"
#include "operator/built_in_crds.h"
#include "operator/cli/cli.h"
#include "operator/operator_run.h"

namespace roadstead {
namespace {

std::atomic<bool> interrupted{false};

Result<std::unique_ptr<ApiClient>> connect(const std::string& kubeconfig) {
  auto config = kube::read_kubeconfig(kubeconfig);
  if (!config) return tl::unexpected(config.error());
  auto client = kube::KubeClient::make(std::move(*config), built_in_crds().types);
  if (!client) return tl::unexpected(client.error());
  return std::unique_ptr<ApiClient>(std::move(*client));
}

int run(int argc, char** argv) {
  static const SystemClock clock;
  cli::CliHooks hooks;
  hooks.run_operator = [](const cli::OperatorOptions& options) { return run_operator(options, ROADSTEAD_VERSION); };
  hooks.connect = connect;
  hooks.types = &built_in_crds().types;
  hooks.clock = &clock;
  hooks.in = &std::cin;
  hooks.out = &std::cout;
  hooks.err = &std::cerr;
  hooks.interrupted = [] { return interrupted.load(); };
  hooks.terminal = ::isatty(STDOUT_FILENO) == 1;
  hooks.version = ROADSTEAD_VERSION;
  return cli::run_cli(argc, argv, hooks);
}

}  // namespace
}  // namespace roadstead

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, [](int) { roadstead::interrupted = true; });
  try {
    return roadstead::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "roadstead: " << error.what() << "\n";
    return roadstead::cli::kExitError;
  }
}
