#include "metrics/metrics.h"

#include <fmt/format.h>
#include <prometheus/client_metric.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace roadstead {
namespace {

double unix_seconds(Time time) { return static_cast<double>(time.time_since_epoch().count()) / 1000.0; }

template <class Cell>
using Series = std::map<LabelValues, std::shared_ptr<Cell>>;
template <class Cell>
using Family = std::map<const MetricDefinition*, Series<Cell>>;

prometheus::MetricType type_of(std::string_view type) {
  if (type == "counter") return prometheus::MetricType::Counter;
  return type == "histogram" ? prometheus::MetricType::Histogram : prometheus::MetricType::Gauge;
}

std::vector<prometheus::ClientMetric::Label> labels_of(const MetricDefinition& definition, const LabelValues& values) {
  std::vector<prometheus::ClientMetric::Label> labels;
  for (std::size_t i = 0; i < values.size(); ++i) {
    prometheus::ClientMetric::Label label;
    label.name = definition.labels[i];
    label.value = values[i];
    labels.push_back(std::move(label));
  }
  return labels;
}

template <class Cell, class... Arguments>
std::shared_ptr<Cell> cell_of(Family<Cell>& family, const MetricDefinition& definition, const LabelValues& values,
                              const Arguments&... arguments) {
  if (values.size() != definition.labels.size())
    throw std::logic_error(fmt::format("metric {} has {} labels, {} values were given", definition.name,
                                       definition.labels.size(), values.size()));
  auto& cell = family[&definition][values];
  if (!cell) cell = std::make_shared<Cell>(arguments...);
  return cell;
}

template <class Cell>
void collect(const Family<Cell>& family, const MetricDefinition& definition, prometheus::MetricFamily& out) {
  const auto found = family.find(&definition);
  if (found == family.end()) return;
  for (const auto& [values, cell] : found->second) {
    out.metric.push_back(cell->Collect());
    out.metric.back().label = labels_of(definition, values);
  }
}

bool carries(const MetricDefinition& definition, const LabelValues& values,
             const std::vector<std::pair<std::string, std::string>>& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& wanted) {
    const auto at = std::find(definition.labels.begin(), definition.labels.end(), wanted.first);
    return at != definition.labels.end() &&
           values[static_cast<std::size_t>(at - definition.labels.begin())] == wanted.second;
  });
}

template <class Cell>
void remove_from(Family<Cell>& family, const std::vector<std::pair<std::string, std::string>>& labels) {
  for (auto& [definition, series] : family)
    std::erase_if(series, [&, d = definition](const auto& one) { return carries(*d, one.first, labels); });
}

/// Ages are not kept anywhere: they are what the clock says beyond their timestamps.
const AgeDefinition* age_definition(const MetricDefinition* definition) {
  for (const AgeDefinition* age : {&metric::kBaseBackupAge, &metric::kPolicyAge})
    if (age == definition) return age;
  return nullptr;
}

void collect_ages(const Family<prometheus::Gauge>& gauges, const AgeDefinition& age, double now,
                  prometheus::MetricFamily& out) {
  const auto found = gauges.find(age.since);
  if (found == gauges.end()) return;
  for (const auto& [values, cell] : found->second) {
    const double since = cell->Value();
    prometheus::ClientMetric shown;
    shown.gauge.value = since > 0 ? std::max(0.0, now - since) : std::numeric_limits<double>::infinity();
    shown.label = labels_of(age, values);
    out.metric.push_back(std::move(shown));
  }
}

}  // namespace

void Gauge::set(double value) { cell_->Set(value); }
void Gauge::set(Time value) { cell_->Set(unix_seconds(value)); }
void Gauge::add(double by) { cell_->Increment(by); }
double Gauge::value() const { return cell_->Value(); }
void Counter::add(double by) { cell_->Increment(by); }
double Counter::value() const { return cell_->Value(); }
void Histogram::observe(double value) { cell_->Observe(value); }
std::uint64_t Histogram::count() const { return cell_->Collect().histogram.sample_count; }

struct Metrics::Families {
  Family<prometheus::Gauge> gauges;
  Family<prometheus::Counter> counters;
  Family<prometheus::Histogram> histograms;
};

Metrics::Metrics(const Clock& clock) : clock_(clock), families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

Gauge Metrics::gauge(const GaugeDefinition& definition, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  return Gauge(cell_of(families_->gauges, definition, values));
}

Counter Metrics::counter(const CounterDefinition& definition, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  return Counter(cell_of(families_->counters, definition, values));
}

Histogram Metrics::histogram(const HistogramDefinition& definition, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  const prometheus::Histogram::BucketBoundaries bounds(definition.buckets.begin(), definition.buckets.end());
  return Histogram(cell_of(families_->histograms, definition, values, bounds));
}

void Metrics::remove_series(const std::vector<std::pair<std::string, std::string>>& labels) {
  if (labels.empty()) return;
  std::lock_guard lock(mutex_);
  remove_from(families_->gauges, labels);
  remove_from(families_->counters, labels);
  remove_from(families_->histograms, labels);
}

std::shared_ptr<void> Metrics::before_scrape(std::function<void()> hook) {
  std::lock_guard lock(hooks_mutex_);
  const std::uint64_t id = next_hook_++;
  hooks_.emplace(id, std::move(hook));
  return {nullptr, [this, id](void*) {
            std::lock_guard unregistering(hooks_mutex_);
            hooks_.erase(id);
          }};
}

std::string Metrics::render() {
  {
    std::lock_guard lock(hooks_mutex_);
    for (const auto& [id, hook] : hooks_) hook();
  }
  const double now = unix_seconds(clock_.now());
  std::vector<prometheus::MetricFamily> shown;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [definition, type] : all_metrics()) {
      prometheus::MetricFamily family;
      family.name = definition->name;
      family.help = definition->help;
      family.type = type_of(type);
      if (const AgeDefinition* age = age_definition(definition)) {
        collect_ages(families_->gauges, *age, now, family);
      } else {
        collect(families_->gauges, *definition, family);
        collect(families_->counters, *definition, family);
        collect(families_->histograms, *definition, family);
      }
      if (!family.metric.empty()) shown.push_back(std::move(family));
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, shown);
  return out.str();
}

std::string metrics_page() {
  std::string page =
      "# Metrics\n\n"
      "Served at `/metrics`. Timestamps are Unix seconds and 0 means never, so that an alert computes an age with\n"
      "`time()` and a stuck operator cannot freeze it. The rules that use them are in `metrics/alerts.yaml`.\n\n"
      "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
  for (const auto& [definition, type] : all_metrics()) {
    page += fmt::format(
        "| `{}` | {} | {} | {} | {} |\n", definition->name, type, definition->unit.empty() ? "-" : definition->unit,
        definition->labels.empty() ? "-" : fmt::format("{}", fmt::join(definition->labels, ", ")), definition->help);
  }
  return page;
}

}  // namespace roadstead
