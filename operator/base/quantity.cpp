#include "operator/base/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace roadstead {

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

// The steps are those of Kubernetes' duration.HumanDuration, so that our tables read like every other.
std::string human_duration(std::chrono::seconds duration) {
  const auto s = std::max<std::int64_t>(0, duration.count());
  constexpr std::int64_t kYear = 365;  // days
  const auto m = s / 60, h = s / 3600, d = s / 86400;
  const auto two = [](std::int64_t big, char big_unit, std::int64_t small, char small_unit) {
    return small == 0 ? fmt::format("{}{}", big, big_unit) : fmt::format("{}{}{}{}", big, big_unit, small, small_unit);
  };
  if (s < 120) return fmt::format("{}s", s);
  if (m < 10) return two(m, 'm', s % 60, 's');
  if (h < 3) return fmt::format("{}m", m);
  if (h < 8) return two(h, 'h', m % 60, 'm');
  if (h < 48) return fmt::format("{}h", h);
  if (d < 8) return two(d, 'd', h % 24, 'h');
  if (d < 2 * kYear) return fmt::format("{}d", d);
  if (d < 8 * kYear) return two(d / kYear, 'y', d % kYear, 'd');
  return fmt::format("{}y", d / kYear);
}

}  // namespace roadstead
