#include "mover/progress.h"

#include <algorithm>

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kWindow = 10s;
constexpr std::chrono::milliseconds kPeriod = 500ms;

void raise_to(std::atomic<std::uint64_t>& value, std::uint64_t least) {
  std::uint64_t now = value.load();
  while (now < least && !value.compare_exchange_weak(now, least)) {
  }
}

}  // namespace

void RateMeter::add(Clock::time_point now, std::uint64_t bytes_done) {
  samples_.push_back({now, bytes_done});
  while (samples_.size() > 2 && now - samples_[1].at >= kWindow) samples_.pop_front();
}

std::optional<std::uint64_t> RateMeter::bytes_per_second() const {
  if (samples_.size() < 2 || samples_.back().at - samples_.front().at < 1s) return std::nullopt;
  const std::chrono::duration<double> span = samples_.back().at - samples_.front().at;
  return static_cast<std::uint64_t>(static_cast<double>(samples_.back().bytes - samples_.front().bytes) / span.count());
}

std::optional<std::uint64_t> RateMeter::seconds_for(std::uint64_t bytes) const {
  const auto rate = bytes_per_second();
  if (!rate || *rate == 0) return std::nullopt;
  return (bytes + *rate - 1) / *rate;
}

void Meter::enter(std::string phase) {
  const std::lock_guard lock(mutex_);
  phase_ = std::move(phase);
}

void Meter::set_totals(std::uint64_t bytes, std::uint64_t files) {
  const std::lock_guard lock(mutex_);
  if (bytes_total_) return;
  bytes_total_ = bytes;
  files_total_ = files;
}

void Meter::raise(std::uint64_t bytes, std::uint64_t files) {
  raise_to(bytes_done_, bytes);
  raise_to(files_done_, files);
}

Progress Meter::read() const {
  const std::lock_guard lock(mutex_);
  Progress progress{.phase = phase_,
                    .bytes_done = bytes_done(),
                    .bytes_total = bytes_total_,
                    .files_done = files_done(),
                    .files_total = files_total_,
                    .bytes_per_second = {},
                    .eta_seconds = {}};
  if (bytes_total_) progress.bytes_done = std::min(progress.bytes_done, *bytes_total_);
  if (files_total_) progress.files_done = std::min(progress.files_done, *files_total_);
  return progress;
}

ProgressPrinter::ProgressPrinter(const Meter& meter, Print print)
    : meter_(meter), print_(std::move(print)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

ProgressPrinter::~ProgressPrinter() {
  thread_.request_stop();
  thread_.join();
}

void ProgressPrinter::run(const std::stop_token& stop) {
  RateMeter rate;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    Progress progress = meter_.read();
    rate.add(RateMeter::Clock::now(), progress.bytes_done);
    if (progress.bytes_total) progress.bytes_per_second = rate.bytes_per_second();
    if (progress.bytes_total) progress.eta_seconds = rate.seconds_for(*progress.bytes_total - progress.bytes_done);
    print_(progress);
    wake_.wait_for(lock, stop, kPeriod, [] { return false; });
  }
}

}  // namespace roadstead::mover
