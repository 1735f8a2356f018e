#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/log.h"
#include "operator/base/result.h"
#include "operator/ports/api_client.h"
#include "operator/ports/resource_type.h"

namespace roadstead::cli {

inline constexpr const char* kDefaultDataDir = "/var/lib/roadstead";

/// The flags of `roadstead operator`.
struct OperatorOptions {
  std::string data_dir = kDefaultDataDir;
  std::string manifests_dir;  ///< Empty: nothing is read from files.
  std::string installation = "default";
  std::string listen_address = "127.0.0.1";
  std::uint16_t listen_port = 6440;
  std::string metrics_address = "0.0.0.0";
  std::uint16_t metrics_port = 9618;
  std::string mover_image;                  ///< Archive of the mover's image; empty: the one beside the program.
  std::vector<std::string> image_archives;  ///< Loaded onto hosts in place of a pull.
  LogLevel log_level = LogLevel::Info;
};

/// What the command line is given by `main`: where concrete types, clocks and streams come from.
struct CliHooks {
  /// Runs until it is told to stop; returns the exit code.
  std::function<int(const OperatorOptions&)> run_operator;
  /// A client for what this kubeconfig says. The file exists when this is called.
  std::function<Result<std::unique_ptr<ApiClient>>(const std::string& kubeconfig)> connect;
  const ResourceTypes* types = nullptr;
  const Clock* clock = nullptr;
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  /// Set by SIGINT: verbs that wait or watch end.
  std::function<bool()> interrupted = [] { return false; };
  bool terminal = false;  ///< Standard output is one: `status --watch` redraws in place.
  std::string version;
};

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;  ///< The server refused, a wait ran out, a file is broken.
inline constexpr int kExitUsage = 2;  ///< The command line itself is wrong; nothing was tried.

/// Runs one verb. Answers go to `out`, errors as one sentence each to `err`.
int run_cli(int argc, const char* const* argv, const CliHooks& hooks);

}  // namespace roadstead::cli
