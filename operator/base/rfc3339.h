#pragma once

#include <string>
#include <string_view>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead {

/// "2026-11-22T09:41:07Z", as Kubernetes writes times: UTC, whole seconds (fractions are cut).
std::string format_rfc3339(Time time);

/// The same with milliseconds: "2026-11-22T09:41:07.123Z".
std::string format_rfc3339_millis(Time time);

/// Any RFC 3339 date-time: fraction and offset allowed, "T" and "Z" in either case. Errors: Invalid.
Result<Time> parse_rfc3339(std::string_view text);

}  // namespace roadstead
