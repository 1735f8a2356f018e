#pragma once

#include <string>

#include "operator/base/result.h"

namespace roadstead {

/// The installation's secret, 64 hex digits in DATA/installation.key (0600), made at the first start. The keys of all
/// transfers are derived from it; losing it only makes running transfers begin a new attempt.
/// Errors: Unavailable, Forbidden, Invalid (the file holds something else).
Result<std::string> installation_secret(const std::string& data_dir);

}  // namespace roadstead
