#include "metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

namespace roadstead {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

std::string read(const std::string& path) {
  std::ifstream in(std::string(ROADSTEAD_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class MetricsTest : public testing::Test {
 protected:
  ManualClock clock{Time{1'000'000ms}};
  Metrics metrics{clock};
};

TEST_F(MetricsTest, ASeriesExistsBeforeItsFirstValue) {
  metrics.gauge(metric::kPolicyLastSuccess, {"default", "outpack"});
  EXPECT_THAT(metrics.render(), HasSubstr("# TYPE roadstead_policy_last_success_timestamp_seconds gauge\n"
                                          "roadstead_policy_last_success_timestamp_seconds"
                                          "{namespace=\"default\",policy=\"outpack\"} 0\n"));
}

TEST_F(MetricsTest, AnAgeGrowsWhileNobodySetsAnything) {
  metrics.gauge(metric::kBaseBackupLastSuccess, {"default", "montagu"}).set(Time{940'000ms});
  EXPECT_THAT(metrics.render(),
              HasSubstr("roadstead_base_backup_age_seconds{namespace=\"default\",server=\"montagu\"} 60\n"));
  clock.advance(30s);
  EXPECT_THAT(metrics.render(),
              HasSubstr("roadstead_base_backup_age_seconds{namespace=\"default\",server=\"montagu\"} 90\n"));
}

TEST_F(MetricsTest, TheAgeOfWhatNeverHappenedIsInfinite) {
  metrics.gauge(metric::kBaseBackupLastSuccess, {"default", "montagu"});
  EXPECT_THAT(metrics.render(),
              HasSubstr("roadstead_base_backup_age_seconds{namespace=\"default\",server=\"montagu\"} +Inf\n"));
}

TEST_F(MetricsTest, CountersAndHistogramsAreShownWithTheirSums) {
  metrics.counter(metric::kBytesMoved, {"annex2", "uat"}).add(4096);
  metrics.histogram(metric::kRestoreDuration, {"Succeeded"}).observe(25);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("roadstead_bytes_moved_total{from_host=\"annex2\",to_host=\"uat\"} 4096\n"));
  EXPECT_THAT(text, HasSubstr("roadstead_restore_duration_seconds_bucket{result=\"Succeeded\",le=\"30\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("roadstead_restore_duration_seconds_sum{result=\"Succeeded\"} 25\n"));
}

TEST_F(MetricsTest, AskingTwiceGivesTheSameSeries) {
  metrics.counter(metric::kQueueAdds, {"host"}).add();
  metrics.counter(metric::kQueueAdds, {"host"}).add();
  EXPECT_EQ(metrics.counter(metric::kQueueAdds, {"host"}).value(), 2);
}

TEST_F(MetricsTest, RemovingADeletedObjectsSeriesLeavesTheOthersAndKeepsHandlesValid) {
  Gauge gone = metrics.gauge(metric::kPolicyLastSuccess, {"default", "gone"});
  metrics.gauge(metric::kPolicyLastSuccess, {"default", "stays"});
  metrics.counter(metric::kBackupsFinished, {"default", "gone", "Failed"});
  metrics.remove_series({{"namespace", "default"}, {"policy", "gone"}});
  gone.set(5);
  const std::string text = metrics.render();
  EXPECT_THAT(text, Not(HasSubstr("gone")));
  EXPECT_THAT(text, HasSubstr("stays"));
}

TEST_F(MetricsTest, LabelValuesAreEscaped) {
  metrics.gauge(metric::kHostReachable, {"a\"b\\c\nd"});
  EXPECT_THAT(metrics.render(), HasSubstr("{host=\"a\\\"b\\\\c\\nd\"}"));
}

TEST_F(MetricsTest, AWrongNumberOfLabelValuesIsRefused) {
  EXPECT_THROW(metrics.gauge(metric::kHostReachable, {}), std::logic_error);
}

TEST_F(MetricsTest, HooksRunAtEachScrapeUntilTheirTokenIsDropped) {
  int runs = 0;
  auto token = metrics.before_scrape([&] { ++runs; });
  (void)metrics.render();
  token.reset();
  (void)metrics.render();
  EXPECT_EQ(runs, 1);
}

TEST_F(MetricsTest, SeriesMayBeSetRemovedAndShownFromSeveralThreads) {
  std::atomic<bool> stop = false;
  {
    std::jthread setter([&] {
      while (!stop) metrics.gauge(metric::kHostReachable, {"uat"}).set(1);
    });
    std::jthread remover([&] {
      while (!stop) metrics.remove_series({{"host", "uat"}});
    });
    for (int i = 0; i < 200; ++i) (void)metrics.render();
    stop = true;
  }
  EXPECT_THAT(metrics.render(), Not(HasSubstr("annex2")));
}

TEST(MetricDefinitions, HaveDistinctNamesAndSayUnitAndMeaning) {
  std::set<std::string_view> names;
  for (const auto& [definition, type] : all_metrics()) {
    EXPECT_TRUE(names.insert(definition->name).second) << definition->name;
    EXPECT_TRUE(definition->help.ends_with('.')) << definition->name;
    EXPECT_TRUE(definition->name.starts_with("roadstead_") || definition->name.starts_with("workqueue_") ||
                definition->name.starts_with("controller_runtime_"))
        << definition->name;
    EXPECT_EQ(type == "counter", definition->name.ends_with("_total")) << definition->name;
    EXPECT_NE(definition->name.find(definition->unit), std::string_view::npos) << definition->name;
  }
}

TEST(MetricDefinitions, NoneIsMissingFromTheListOfAll) {
  const std::string header = read("metrics/definitions.h");
  const std::regex declared("inline constexpr (Gauge|Age|Counter|Histogram)Definition k");
  const auto count = std::distance(std::sregex_iterator(header.begin(), header.end(), declared), {});
  EXPECT_EQ(static_cast<std::size_t>(count), all_metrics().size());
}

TEST(AlertRules, UseOnlyMetricsThatExist) {
  std::set<std::string> known;
  for (const auto& [definition, type] : all_metrics()) known.emplace(definition->name);
  const std::string rules = read("metrics/alerts.yaml");
  const std::regex used("\\b(roadstead|workqueue|controller_runtime)_[a-z0-9_]+\\b");
  int found = 0;
  for (std::sregex_iterator it(rules.begin(), rules.end(), used), end; it != end; ++it, ++found)
    EXPECT_TRUE(known.contains(it->str())) << it->str();
  EXPECT_GT(found, 10);
}

// ROADSTEAD_UPDATE=1 writes the page anew; the difference is then reviewed.
TEST(MetricsPage, IsWhatTheDefinitionsSay) {
  if (std::getenv("ROADSTEAD_UPDATE"))
    std::ofstream(std::string(ROADSTEAD_SOURCE_DIR) + "/docs/metrics.md") << metrics_page();
  EXPECT_EQ(read("docs/metrics.md"), metrics_page()) << "run this test with ROADSTEAD_UPDATE=1";
}

}  // namespace
}  // namespace roadstead
