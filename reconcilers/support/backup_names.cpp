#include "reconcilers/support/backup_names.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

#include "operator/base/names.h"
#include "operator/base/rfc3339.h"

namespace roadstead::reconcilers {
namespace {

constexpr std::string_view kTail = "-yyyymmddthhmmz";
constexpr std::size_t kNameLimit = 253;

}  // namespace

std::string scheduled_backup_name(const std::string& policy, Time scheduled) {
  const std::string text = format_rfc3339(scheduled);  // "2026-11-01T00:00:00Z"
  return fmt::format("{}-{}{}{}t{}{}z", shortened(policy, kNameLimit - kTail.size()), text.substr(0, 4),
                     text.substr(5, 2), text.substr(8, 2), text.substr(11, 2), text.substr(14, 2));
}

std::optional<ScheduledBackupName> parse_scheduled_backup_name(std::string_view name) {
  if (name.size() <= kTail.size()) return std::nullopt;
  const std::string_view tail = name.substr(name.size() - kTail.size());
  for (std::size_t i = 0; i < kTail.size(); ++i) {
    const bool digit = tail[i] >= '0' && tail[i] <= '9';
    const bool fixed = kTail[i] == '-' || kTail[i] == 't' || kTail[i] == 'z';
    if (fixed ? tail[i] != kTail[i] : !digit) return std::nullopt;
  }
  const auto part = [&](std::size_t at, std::size_t length) { return tail.substr(at, length); };
  const auto time =
      parse_rfc3339(fmt::format("{}-{}-{}T{}:{}:00Z", part(1, 4), part(5, 2), part(7, 2), part(10, 2), part(12, 2)));
  if (!time) return std::nullopt;
  return ScheduledBackupName{std::string(name.substr(0, name.size() - kTail.size())), *time};
}

}  // namespace roadstead::reconcilers
