#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/definitions.h"
#include "operator/base/clock.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace roadstead {

// Handles to one series each. Cheap to copy, safe from any thread; they stay valid (and are no longer shown) after the
// series was removed. Keep one where it is used often; looking it up costs a map search.

class Gauge {
 public:
  explicit Gauge(std::shared_ptr<prometheus::Gauge> cell) : cell_(std::move(cell)) {}
  void set(double value);
  void set(Time value);  ///< Unix seconds.
  void add(double by);
  [[nodiscard]] double value() const;

 private:
  std::shared_ptr<prometheus::Gauge> cell_;
};

class Counter {
 public:
  explicit Counter(std::shared_ptr<prometheus::Counter> cell) : cell_(std::move(cell)) {}
  void add(double by = 1);  ///< Not negative.
  [[nodiscard]] double value() const;

 private:
  std::shared_ptr<prometheus::Counter> cell_;
};

class Histogram {
 public:
  explicit Histogram(std::shared_ptr<prometheus::Histogram> cell) : cell_(std::move(cell)) {}
  void observe(double value);
  [[nodiscard]] std::uint64_t count() const;

 private:
  std::shared_ptr<prometheus::Histogram> cell_;
};

/// Values of a series' labels in the order of its definition.
using LabelValues = std::vector<std::string>;

/// All series of one operator. A series exists from the first time it is asked for: ask for it before there is a first
/// result, so that an alert can see the zero. Safe from any thread.
/// A wrong number of label values is a mistake of the caller: std::logic_error.
class Metrics {
 public:
  /// `clock` must outlive this; it is read when ages are shown.
  explicit Metrics(const Clock& clock);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Gauge gauge(const GaugeDefinition& definition, const LabelValues& values = {});
  Counter counter(const CounterDefinition& definition, const LabelValues& values = {});
  Histogram histogram(const HistogramDefinition& definition, const LabelValues& values = {});

  /// Forgets every series, of whatever metric, that carries all of `labels` (name, value): of a deleted object.
  /// `{{"namespace", "default"}, {"policy", "outpack"}}`. Empty `labels`: nothing.
  void remove_series(const std::vector<std::pair<std::string, std::string>>& labels);

  /// Runs `hook` before each render, for values that only the moment of looking gives. It must be quick and must not
  /// render. Dropping the returned token unregisters; it waits for a running hook and must not outlive this.
  [[nodiscard]] std::shared_ptr<void> before_scrape(std::function<void()> hook);

  /// The text exposition format 0.0.4, metrics in the order of definitions.h; one without series shows nothing.
  [[nodiscard]] std::string render();

 private:
  struct Families;
  const Clock& clock_;
  std::mutex mutex_;  // guards *families_
  std::unique_ptr<Families> families_;
  std::mutex hooks_mutex_;  // guards the two below; held while hooks run
  std::map<std::uint64_t, std::function<void()>> hooks_;
  std::uint64_t next_hook_ = 0;
};

/// The reference of all metrics as a Markdown page.
std::string metrics_page();

}  // namespace roadstead
