#pragma once

#include <string>

#include "operator/cli/cli.h"

namespace roadstead {

/// Runs the operator until SIGTERM or SIGINT: store, files, API server, metrics, host events and one controller per
/// kind. Returns the program's exit code; what kept it from starting is said on standard error in one sentence.
/// To be called before any other thread was started, so that no thread takes the signals away.
int run_operator(const cli::OperatorOptions& options, const std::string& version);

}  // namespace roadstead
