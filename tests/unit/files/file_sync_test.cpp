#include "operator/adapters/files/file_sync.h"

#include "tests/unit/files/files_fixture.h"

namespace roadstead::files {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class FileSyncTest : public FilesTest {
 protected:
  void SetUp() override {
    set_log_level(kSilent);
    FilesTest::SetUp();
    restart();
  }
  void restart() {
    sync = std::make_unique<FileSync>(manifests, store::builtin_kinds().catalog, *store, metrics, clock);
  }
  void pass() {
    const auto done = sync->run();
    ASSERT_TRUE(done) << done.error().message;
  }
  double broken() { return metrics.gauge(metric::kManifestFilesBroken).value(); }
  double missing() { return metrics.gauge(metric::kManifestObjectsMissing).value(); }

  std::unique_ptr<FileSync> sync;
};

TEST_F(FileSyncTest, EveryDocumentOfEveryFileBelowIsApplied) {
  write("hosts.yaml", host("uat") + "---\n# nothing here\n---\n" + host("annex2"));
  write("site/deep/backup.yml", backup("first", "nightly"));
  write("notes.txt", "not a manifest");
  write(".hidden.yaml", "not: [a manifest");
  write(".git/config.yaml", "neither");
  pass();
  EXPECT_TRUE(exists("uat") && exists("annex2") && exists("first", "Backup"));
  EXPECT_EQ(annotation("uat", "source-file"), "hosts.yaml");
  EXPECT_EQ(get("first", "Backup").at("metadata").at("annotations").at("roadstead.dev/source-file"),
            "site/deep/backup.yml");
  EXPECT_EQ(broken(), 0);
  EXPECT_THAT(events("ManifestApplied"), Contains("uat: created from hosts.yaml"));
  EXPECT_EQ(metrics.gauge(metric::kManifestLastScan).value(), 1'790'000'000);
}

TEST_F(FileSyncTest, NothingIsWrittenAgainWithoutAChangeNotEvenAfterARestart) {
  write("hosts.yaml", host("uat"));
  pass();
  const std::string before = version();
  pass();
  EXPECT_EQ(version(), before);
  open_store();
  restart();
  pass();
  EXPECT_EQ(version(), before);
}

TEST_F(FileSyncTest, AChangedDocumentIsAppliedAndOnlyThat) {
  write("hosts.yaml", host("uat") + "---\n" + host("annex2"));
  pass();
  const json other = get("annex2");
  write("hosts.yaml", host("uat", true) + "---\n" + host("annex2"));
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true);
  EXPECT_EQ(get("uat").at("metadata").at("generation"), 2);
  EXPECT_EQ(get("annex2"), other);
}

TEST_F(FileSyncTest, WhatPeopleChangeByHandStaysUntilTheDocumentChanges) {
  write("hosts.yaml", host("uat"));
  pass();
  json by_hand = get("uat");
  by_hand["spec"]["protected"] = true;
  ASSERT_TRUE(store->update(by_hand, {}));
  restart();
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true);
  write("hosts.yaml", host("uat") + "# touched\n");
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true) << "a comment is no change";
}

// As `roadstead apply` does it: the manifest applied by hand says nothing of the file.
TEST_F(FileSyncTest, WhatPeopleApplyByHandStaysUntilTheDocumentChanges) {
  write("hosts.yaml", host("uat"));
  pass();
  const json by_hand{{"apiVersion", "roadstead.dev/v1alpha1"},
                     {"kind", "Host"},
                     {"metadata", {{"name", "uat"}, {"annotations", {{"why", "under repair"}}}}},
                     {"spec", {{"engine", {{"endpoint", "unix:///var/run/docker.sock"}}}, {"protected", true}}}};
  const auto applied = store->apply(by_hand, {});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->object.at("metadata").at("labels").at("roadstead.dev/source"), "files");
  const std::string before = version();
  restart();
  pass();
  EXPECT_EQ(version(), before);
  EXPECT_EQ(get("uat").at("spec").at("protected"), true);
  EXPECT_EQ(get("uat").at("metadata").at("annotations").at("why"), "under repair");
  EXPECT_EQ(store->apply(by_hand, {})->what, Applied::Unchanged);
  write("hosts.yaml", "");
  pass();
  ASSERT_NE(annotation("uat", "source-missing"), "");
  write("hosts.yaml", host("uat") + "  data: {address: uat.example.org}\n");
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), false);
}

TEST_F(FileSyncTest, WhatIsDeletedByHandComesBackFromItsFile) {
  write("hosts.yaml", host("uat"));
  pass();
  ASSERT_TRUE(store->remove({"Host", "", "uat"}, {}));
  pass();
  EXPECT_TRUE(exists("uat"));
}

TEST_F(FileSyncTest, ABrokenFileChangesNothingAndIsToldWithFileLineAndField) {
  write("hosts.yaml", host("uat") + "---\n" + host("annex2"));
  pass();
  const json uat = get("uat"), annex2 = get("annex2");
  write("hosts.yaml", host("uat", true) + "---\n" + host("annex2") + "  protectd: true\n---\n" + host("science"));
  pass();
  EXPECT_EQ(get("uat"), uat);
  EXPECT_EQ(get("annex2"), annex2);
  EXPECT_FALSE(exists("science")) << "no file is applied in parts";
  EXPECT_EQ(broken(), 1);
  EXPECT_EQ(missing(), 0);
  const auto told = events("ManifestBroken");
  EXPECT_THAT(told, Contains(StartsWith("hosts.yaml: hosts.yaml:14:3: ")));
  EXPECT_THAT(told, Contains(HasSubstr("spec.protectd")));
  EXPECT_THAT(told, Contains(StartsWith("uat: what hosts.yaml said before still holds: hosts.yaml:14:3: ")));
}

TEST_F(FileSyncTest, TheSameProblemIsToldOnceAndARepairedFileIsApplied) {
  write("hosts.yaml", "kind: [");
  pass();
  const std::string after_first = version();
  pass();
  EXPECT_EQ(version(), after_first) << "no second event";
  EXPECT_EQ(broken(), 1);
  write("hosts.yaml", host("uat"));
  pass();
  EXPECT_TRUE(exists("uat"));
  EXPECT_EQ(broken(), 0);
}

TEST_F(FileSyncTest, OneBrokenFileDoesNotHoldUpTheOthers) {
  write("a.yaml", "\tkind: Host");
  write("b.yaml", host("uat"));
  pass();
  EXPECT_TRUE(exists("uat"));
  EXPECT_EQ(broken(), 1);
}

TEST_F(FileSyncTest, AChangeOfSomethingImmutableIsRefusedWithTheWholeFile) {
  write("all.yaml", host("uat") + "---\n" + backup("first", "nightly"));
  pass();
  write("all.yaml", host("uat", true) + "---\n" + backup("first", "another"));
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), false);
  EXPECT_EQ(get("first", "Backup").at("spec").at("policyRef").at("name"), "nightly");
  EXPECT_EQ(broken(), 1);
  EXPECT_THAT(events("ManifestBroken"),
              Contains(StartsWith("all.yaml: all.yaml:7: Backup.roadstead.dev \"first\" is invalid: spec")));
}

TEST_F(FileSyncTest, NothingIsDeletedWhenAFileIsGoneButTheObjectIsMarkedAndTold) {
  write("hosts.yaml", host("uat") + "---\n" + host("annex2"));
  write("more.yaml", host("science"));
  pass();
  remove("hosts.yaml");
  write("more.yaml", host("production2"));
  pass();
  for (const char* name : {"uat", "annex2", "science"}) {
    EXPECT_TRUE(exists(name));
    EXPECT_EQ(annotation(name, "source-missing"), "2026-09-21T14:13:20Z") << name;
  }
  EXPECT_EQ(annotation("production2", "source-missing"), "");
  EXPECT_EQ(missing(), 3);
  EXPECT_THAT(events("ManifestMissing"), Contains(StartsWith("uat: hosts.yaml no longer has this object; it is kept")));
  EXPECT_THAT(events("ManifestMissing"), Contains(HasSubstr("roadstead delete host uat")));
  const std::string before = version();
  clock.advance(std::chrono::hours{1});
  pass();
  EXPECT_EQ(version(), before) << "told once, with the first time";
}

TEST_F(FileSyncTest, AnObjectWhoseFileIsBackLosesItsMark) {
  write("hosts.yaml", host("uat"));
  pass();
  remove("hosts.yaml");
  pass();
  EXPECT_NE(annotation("uat", "source-missing"), "");
  write("hosts.yaml", host("uat"));
  pass();
  EXPECT_EQ(annotation("uat", "source-missing"), "");
  EXPECT_EQ(missing(), 0);
}

TEST_F(FileSyncTest, AnObjectMayMoveToAnotherFile) {
  write("a.yaml", host("uat"));
  pass();
  remove("a.yaml");
  write("b.yaml", host("uat"));
  pass();
  EXPECT_EQ(annotation("uat", "source-file"), "b.yaml");
  EXPECT_EQ(annotation("uat", "source-missing"), "");
  EXPECT_EQ(get("uat").at("metadata").at("generation"), 1);
}

TEST_F(FileSyncTest, OfTwoFilesWithTheSameObjectTheOneItCameFromHoldsIt) {
  write("b.yaml", host("uat"));
  pass();
  write("a.yaml", host("uat", true) + "---\n" + host("annex2"));
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), false);
  EXPECT_FALSE(exists("annex2")) << "the refused file is not applied in parts";
  EXPECT_EQ(broken(), 1);
  EXPECT_THAT(events("ManifestBroken"), ElementsAre("a.yaml: a.yaml:1: Host uat is in b.yaml already, which holds it: "
                                                    "remove it from one of the two"));
  remove("b.yaml");
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true);
  EXPECT_EQ(broken(), 0);
}

TEST_F(FileSyncTest, ABrokenFileKeepsWhatItHolds) {
  write("b.yaml", host("uat"));
  pass();
  write("b.yaml", host("uat") + "  protectd: true\n");
  write("a.yaml", host("uat", true));
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), false);
  EXPECT_EQ(annotation("uat", "source-file"), "b.yaml");
  EXPECT_EQ(broken(), 2);
  EXPECT_THAT(events("ManifestBroken"), Contains("a.yaml: a.yaml:1: Host uat came from b.yaml, which is broken and "
                                                 "keeps it: mend that file first"));
  write("b.yaml", host("annex2"));
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true) << "the mended file has given it up";
  EXPECT_EQ(broken(), 0);
}

TEST_F(FileSyncTest, OfTwoNewFilesTheFirstByNameHoldsIt) {
  write("b.yaml", host("uat"));
  write("a.yaml", host("uat", true));
  pass();
  EXPECT_EQ(annotation("uat", "source-file"), "a.yaml");
  EXPECT_EQ(broken(), 1);
}

TEST_F(FileSyncTest, FilesBehindSymlinksAreReadAsAMountedConfigMapHasThem) {
  write("..2026_11_01/hosts.yaml", host("uat"));
  std::filesystem::create_symlink("..2026_11_01", manifests / "..data");
  std::filesystem::create_symlink("..data/hosts.yaml", manifests / "hosts.yaml");
  std::filesystem::create_directory_symlink(".", manifests / "loop");
  pass();
  EXPECT_EQ(annotation("uat", "source-file"), "hosts.yaml");
  write("..2026_11_02/hosts.yaml", host("uat", true));
  std::filesystem::remove(manifests / "..data");
  std::filesystem::create_symlink("..2026_11_02", manifests / "..data");
  pass();
  EXPECT_EQ(get("uat").at("spec").at("protected"), true);
}

TEST_F(FileSyncTest, WhatIsNoFileAtAllIsToldAndNotWaitedFor) {
  std::filesystem::create_symlink("/nowhere.yaml", manifests / "dangling.yaml");
  std::filesystem::create_symlink("/dev/zero", manifests / "zero.yaml");
  write("huge.yaml", std::string(4 * 1024 * 1024, '#'));
  write("hosts.yaml", host("uat"));
  pass();
  EXPECT_TRUE(exists("uat"));
  EXPECT_EQ(broken(), 2);
}

TEST_F(FileSyncTest, AManifestWithoutANameOfItsOwnIsRefused) {
  write("generated.yaml",
        "apiVersion: roadstead.dev/v1alpha1\nkind: Backup\nmetadata: {generateName: run-}\nspec: {policyRef: {name: "
        "a}}\n");
  pass();
  EXPECT_THAT(store->list("Backup", {})->items, IsEmpty());
  EXPECT_EQ(broken(), 1);
}

TEST_F(FileSyncTest, ADirectoryThatIsGoneMarksNothing) {
  write("hosts.yaml", host("uat"));
  pass();
  std::filesystem::rename(manifests, directory.path() / "elsewhere");
  const auto done = sync->run();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::NotFound);
  EXPECT_EQ(annotation("uat", "source-missing"), "");
}

}  // namespace
}  // namespace roadstead::files
