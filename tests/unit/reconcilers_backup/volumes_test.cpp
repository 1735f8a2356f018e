#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"
#include "reconcilers/backup/decide.h"
#include "reconcilers/backup/volume_end.h"
#include "reconcilers/backup/volume_progress.h"
#include "reconcilers/backup/volume_snapshots.h"
#include "reconcilers/backup/volume_take.h"

namespace roadstead::reconcilers::backup {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

crds::Hook hook(const std::string& name, crds::OnFailure on_failure = crds::OnFailure::Fail) {
  crds::Hook one;
  one.name = name;
  one.exec = crds::ExecHook{"app", {name}, 60, on_failure};
  return one;
}

Plan two_volumes() {
  Plan plan;
  plan.source.host_ref = crds::NameRef{"production2"};
  plan.source.volumes = {{"outpack", {}}, {"logs", {"*.tmp"}}};
  plan.source.hooks = crds::Hooks{{hook("save")}, {hook("resume")}};
  plan.destinations = {{{"annex2"}}};
  plan.transfer = crds::Transfer{8, 1000, crds::Compression::Zstd};
  plan.places = {{"production2", "outpack", "annex2", {}, {}}, {"production2", "logs", "annex2", {"*.tmp"}, {}}};
  return plan;
}

const Missing kOwn{"default.nightly", {}, {}};

/// A Backup that has gone through the steps a test names; what it does not name is as it is at the beginning.
class Going {
 public:
  Going() {
    backup_.metadata.ns = "default";
    backup_.metadata.name = "nightly";
    backup_.metadata.generation = 1;
  }
  crds::Backup& backup() { return backup_; }
  std::optional<StepRef> next() { return current_step(backup_); }
  std::string next_name() {
    const auto ref = next();
    return ref ? ref->name : "end";
  }
  std::optional<Millis> take(const Outcome& outcome) {
    const auto ref = next();
    if (!ref) throw std::logic_error("the run is at its end");
    return backup::take(backup_, *ref, outcome, now_);
  }
  /// The next step is done with this result.
  Going& done(const std::string& result = "{}") {
    take(Done{result, {}});
    return *this;
  }
  Going& planned(const Plan& plan = two_volumes()) { return done(to_text(plan)); }
  Going& looked(std::vector<Missing> missing, bool directory = true) {
    return done(to_text(Lookup{directory, std::move(missing), 0}));
  }
  Going& failed_for_good(const std::string& why = "disk error") {
    const std::string name = next_name();
    while (next_name() == name) take(Retry{"DiskError", why, {}});
    return *this;
  }
  /// As a copy that ended well leaves it.
  Going& copied(std::uint64_t bytes = 100, std::uint64_t files = 10) {
    const auto ref = next();
    mover::SnapshotSeen seen;
    seen.id = ref->missing->id;
    seen.data_bytes = bytes;
    seen.logical_bytes = bytes;
    seen.files = files;
    seen.data_as_of = now_;
    take_snapshot(backup_.status, *ref->place, seen);
    mover::CopyData data;
    data.bytes_total = bytes;
    data.files_total = files;
    return done(copy_result(data));
  }
  Going& end() {
    finish(backup_, now_);
    return *this;
  }
  [[nodiscard]] const crds::Condition& condition(const char* type) const {
    static const crds::Condition none{};
    const auto* found = crds::find_condition(backup_.status.conditions, type);
    return found == nullptr ? none : *found;
  }
  void advance(Millis by) { now_ += by; }
  [[nodiscard]] Time now() const { return now_; }

 private:
  crds::Backup backup_;
  Time now_ = kNoon;
};

TEST(VolumePlan, IsReadAsItWasWritten) {
  const Plan plan = two_volumes();
  const auto read = parse_plan(to_text(plan));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->places, plan.places);
  EXPECT_EQ(read->source, plan.source);
  EXPECT_EQ(read->destinations, plan.destinations);
  EXPECT_EQ(read->transfer, plan.transfer);
  EXPECT_EQ(read->suspicious_shrink_percent, 50);
  EXPECT_FALSE(parse_plan("{}"));
  EXPECT_FALSE(parse_plan("nonsense"));
}

TEST(VolumeLookup, IsReadAsItWasWritten) {
  const Lookup lookup{false, {{"a", R"({"host":"x"})", 12}, {"b", {}, {}}}, 3};
  const auto read = parse_lookup(to_text(lookup));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, lookup);
  EXPECT_FALSE(parse_lookup("[]"));
}

TEST(VolumeSteps, ComeInTheirOrder) {
  Going run;
  std::vector<std::string> names;
  const auto take_name = [&] { names.push_back(run.next_name()); };
  take_name();
  run.planned();
  take_name();
  run.looked({kOwn}, false);
  take_name();
  run.looked({kOwn});
  for (int i = 0; i < 5; ++i) {
    take_name();
    run.done();
  }
  take_name();
  EXPECT_THAT(names,
              ElementsAre("plan", "outpack@annex2/look", "logs@annex2/look", "before/save", "outpack@annex2/directory",
                          "outpack@annex2/copy", "logs@annex2/copy", "after/resume", "end"));
}

struct Case {
  std::string name;
  void (*go)(Going&);
  std::string next;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
class NextStep : public ::testing::TestWithParam<Case> {};

TEST_P(NextStep, FollowsFromWhatWasDone) {
  Going run;
  GetParam().go(run);
  EXPECT_EQ(run.next_name(), GetParam().next);
}

INSTANTIATE_TEST_SUITE_P(
    Table, NextStep,
    ::testing::Values(
        Case{"nothing was done", [](Going&) {}, "plan"},
        Case{"the plan waits",
             [](Going& r) {
               r.take(Blocked{"NoDataPath", "x", 1s});
             },
             "plan"},
        Case{"the plan failed for good", [](Going& r) { r.failed_for_good(); }, "end"},
        Case{"everything is there already", [](Going& r) { r.planned().looked({}).looked({}); }, "end"},
        Case{"one is there already", [](Going& r) { r.planned().looked({}).looked({kOwn}).done(); },
             "logs@annex2/copy"},
        Case{"a look failed for good", [](Going& r) { r.planned().failed_for_good().looked({kOwn}).done(); },
             "logs@annex2/copy"},
        Case{"both looks failed for good, so no hook is needed",
             [](Going& r) { r.planned().failed_for_good().failed_for_good(); }, "end"},
        Case{"the hook before failed",
             [](Going& r) {
               r.planned().looked({kOwn}).looked({kOwn}).take(Failed{"x", "x", {}});
             },
             "after/resume"},
        Case{"the hook before is tried again",
             [](Going& r) {
               r.planned().looked({kOwn}).looked({kOwn}).take(Retry{"x", "x", {}});
             },
             "before/save"},
        Case{"the directory cannot be made",
             [](Going& r) { r.planned().looked({kOwn}, false).looked({kOwn}).done().failed_for_good(); },
             "logs@annex2/copy"},
        Case{"the first copy failed for good",
             [](Going& r) { r.planned().looked({kOwn}).looked({kOwn}).done().failed_for_good(); }, "logs@annex2/copy"},
        Case{"a copy failed once",
             [](Going& r) {
               r.planned().looked({kOwn}).looked({kOwn}).done().take(Retry{"x", "x", {}});
             },
             "outpack@annex2/copy"},
        Case{"deleted before the plan", [](Going& r) { r.backup().metadata.deletion_timestamp = kNoon; }, "end"},
        Case{"deleted before anything was begun",
             [](Going& r) {
               r.planned();
               r.backup().metadata.deletion_timestamp = kNoon;
             },
             "end"},
        Case{"deleted while a hook before runs",
             [](Going& r) {
               r.planned().looked({kOwn}).looked({kOwn}).take(Working{"begun", Millis{0}, {}});
               r.backup().metadata.deletion_timestamp = kNoon;
             },
             "after/resume"},
        Case{"deleted while a copy runs",
             [](Going& r) {
               r.planned().looked({kOwn}).looked({kOwn}).done().take(Working{"copies", 1s, {}});
               r.backup().metadata.deletion_timestamp = kNoon;
             },
             "after/resume"}),
    [](const auto& param) {
      std::string name = param.param.name;
      std::ranges::replace_if(
          name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
      return name;
    });

TEST(VolumeSteps, OfARepositoryAreOneCopyForEachSnapshotThatIsMissing) {
  Plan plan = two_volumes();
  plan.source = {};
  plan.source.host_ref = crds::NameRef{"annex2"};
  plan.source.repository = crds::RepositorySource{{{"outpack"}}};
  plan.places = {{"production2", "outpack", "offsite", {}, {"outpack"}}};
  Going run;
  run.planned(plan);
  EXPECT_EQ(run.next_name(), "production2/outpack@offsite/look");
  run.looked({{"a", "{}", 1}, {"b", "{}", 1}});
  EXPECT_EQ(run.next_name(), "production2/outpack@offsite/a/copy");
  run.failed_for_good();
  EXPECT_EQ(run.next_name(), "production2/outpack@offsite/b/copy") << "one that is broken does not hold up the others";
  run.copied().end();
  EXPECT_EQ(run.backup().status.phase, crds::BackupPhase::PartiallyFailed);
}

TEST(VolumeTake, BearsTwoFailuresOfAStepAndTellsBetween) {
  Going run;
  run.planned().looked({kOwn}).looked({kOwn}).done();
  EXPECT_EQ(run.take(Retry{"DiskError", "cannot read", "look at the disk"}), std::optional(kBetweenAttempts));
  EXPECT_THAT(run.condition("Complete").message,
              HasSubstr("outpack@annex2/copy failed (1 of 3): cannot read; look at"));
  EXPECT_TRUE(pause_left(run.backup().status, *run.next(), run.now() + 10s));
  EXPECT_FALSE(pause_left(run.backup().status, *run.next(), run.now() + 31s));
  EXPECT_FALSE(pause_left(run.backup().status, *run.next(), run.now() - 5h)) << "the clock was set back";
  run.take(Retry{"DiskError", "cannot read", {}});
  EXPECT_EQ(run.take(Retry{"DiskError", "cannot read", {}}), std::nullopt) << "the next volume's turn";
  EXPECT_EQ(run.next_name(), "logs@annex2/copy");
  std::vector<std::int64_t> attempts;
  for (const auto& step : run.backup().status.steps)
    if (step.name == "outpack@annex2/copy") attempts.push_back(step.attempt);
  EXPECT_THAT(attempts, ElementsAre(1, 2, 3));
}

TEST(VolumeTake, WaitingIsACondition) {
  Going run;
  EXPECT_EQ(run.take(Blocked{"NoDataPath", "no ports", 30s}), std::optional(Millis(30s)));
  EXPECT_EQ(run.condition("Blocked").status, crds::ConditionStatus::True);
  EXPECT_EQ(run.condition("Complete").reason, "NoDataPath");
  EXPECT_EQ(run.backup().status.phase, crds::BackupPhase::Pending);
  run.planned();
  EXPECT_EQ(run.condition("Blocked").status, crds::ConditionStatus::False);
  EXPECT_EQ(run.backup().status.phase, crds::BackupPhase::Running);
  run.take(Unreachable{"annex2", "connection refused", false});
  EXPECT_EQ(run.condition("Blocked").reason, "HostUnreachable");
  EXPECT_THAT(run.condition("Blocked").message, HasSubstr("roadstead describe host annex2"));
  EXPECT_EQ(run.backup().status.steps.size(), 2u) << "a host that is away is no failed attempt";
}

TEST(VolumeEnd, TellsOfEverythingThatIsThere) {
  Going run;
  run.planned().looked({kOwn}).looked({kOwn}).done().copied();
  run.advance(1h);
  run.copied().done().end();
  const auto& status = run.backup().status;
  EXPECT_EQ(status.phase, crds::BackupPhase::Succeeded);
  EXPECT_EQ(run.condition("Complete").status, crds::ConditionStatus::True);
  EXPECT_EQ(status.data_as_of, kNoon) << "the oldest of them";
  EXPECT_EQ(status.finished_at, kNoon + 1h);
  EXPECT_EQ(status.duration_seconds, 3600);
  EXPECT_TRUE(status.size);
}

mover::Progress moved(std::uint64_t done, std::optional<std::uint64_t> total, std::uint64_t files = 0,
                      std::optional<std::uint64_t> files_total = std::nullopt) {
  mover::Progress progress;
  progress.phase = "Copying";
  progress.bytes_done = done;
  progress.bytes_total = total;
  progress.files_done = files;
  progress.files_total = files_total;
  progress.bytes_per_second = 10;
  return progress;
}

TEST(VolumeProgress, HasNoPercentWhileAVolumeWasNeverMeasured) {
  Going run;
  run.planned().looked({kOwn}).looked({kOwn}).done();
  auto& status = run.backup().status;
  const auto first = progress_after(status, *run.next(), moved(40, 100, 4, 10));
  EXPECT_EQ(first.bytes_done, 40);
  EXPECT_EQ(first.files_done, 4);
  EXPECT_FALSE(first.percent);
  EXPECT_FALSE(first.bytes_total);
  status.progress = first;
  run.copied(100, 10);
  const auto second = progress_after(status, *run.next(), moved(50, 100, 5, 20));
  EXPECT_EQ(second.bytes_done, 150);
  EXPECT_EQ(second.bytes_total, 200);
  EXPECT_EQ(second.percent, 75);
  EXPECT_EQ(second.eta_seconds, 5);
  EXPECT_EQ(second.files_done, 15);
  EXPECT_EQ(second.files_total, 30);
}

TEST(VolumeProgress, CountsTheSnapshotBeforeForAVolumeThatIsStillToCome) {
  Going run;
  run.planned().looked({{"default.nightly", {}, 100}}).looked({{"default.nightly", {}, 300}}).done();
  auto& status = run.backup().status;
  const auto progress = progress_after(status, *run.next(), moved(0, std::nullopt));
  EXPECT_EQ(progress.bytes_total, 400);
  EXPECT_EQ(progress.percent, 0);
}

TEST(VolumeProgress, NeverGoesBackwardsWhereATotalGrowsOrAnAttemptBeginsAnew) {
  Going run;
  run.planned().looked({{"default.nightly", {}, 100}}).looked({{"default.nightly", {}, 100}}).done();
  auto& status = run.backup().status;
  status.progress = progress_after(status, *run.next(), moved(100, 100));
  EXPECT_EQ(status.progress->percent, 50);
  status.progress = progress_after(status, *run.next(), moved(0, 100));
  EXPECT_EQ(status.progress->bytes_done, 100);
  EXPECT_EQ(status.progress->percent, 50);
  run.copied(100);
  status.progress = progress_after(status, *run.next(), moved(0, 1000));
  EXPECT_EQ(status.progress->bytes_total, 1100);
  EXPECT_EQ(status.progress->percent, 50) << "100 of 1100 would be 9";
  status.progress = progress_after(status, *run.next(), moved(1000, 1000));
  EXPECT_EQ(status.progress->percent, 99) << "100 is only reached by being done";
  run.copied(1000).done().end();
  EXPECT_EQ(status.progress->percent, 100);
}

TEST(VolumeShrink, IsToldByBytesOrFilesBeyondThePercentOnly) {
  mover::SnapshotSeen before, now;
  before.logical_bytes = 1000;
  before.files = 100;
  now = before;
  EXPECT_EQ(shrink_of(now, before, 50), "");
  now.logical_bytes = 500;
  EXPECT_EQ(shrink_of(now, before, 50), "") << "half is not more than half";
  now.logical_bytes = 499;
  EXPECT_THAT(shrink_of(now, before, 50), HasSubstr("more than 50 % less"));
  now = before;
  now.files = 10;
  EXPECT_THAT(shrink_of(now, before, 50), HasSubstr("10 files"));
  EXPECT_EQ(shrink_of(now, mover::SnapshotSeen{}, 50), "") << "nothing was there before";
}

}  // namespace
}  // namespace roadstead::reconcilers::backup
