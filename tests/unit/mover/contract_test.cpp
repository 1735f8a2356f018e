#include <gtest/gtest.h>

#include "mover/contract/job.h"

namespace roadstead::mover {
namespace {

Link some_link(LinkMode mode) { return {mode, "192.0.2.7", 10022, 3, "default.uat.db.1", 45, 12}; }

Source some_source() {
  return {"/source",
          {"*.tmp", "/postmaster.pid"},
          KeepWal{"pg_wal", "000000010000000A000000FE", "000000020000000B00000003"}};
}

Copy live_backup() {
  Copy copy;
  copy.role = Role::Both;
  copy.source = Source{.path = "/source", .live = true};
  copy.snapshot = Snapshot{"/repository", "default.outpack-1", R"({"policy":"outpack"})"};
  copy.compression = Compression::Zstd;
  copy.bandwidth_limit = 1'000'000;
  return copy;
}

std::vector<Job> one_of_each() {
  const Target target{"/target", "default.uat.db"};
  return {
      Copy{Role::Send, some_link(LinkMode::Serve), some_source(), std::nullopt},
      Copy{Role::Receive, some_link(LinkMode::Call), std::nullopt, target},
      Copy{Role::Both, std::nullopt, Source{"/source", {}, std::nullopt}, target},
      Connect{some_link(LinkMode::Call)},
      Inspect{"/target", true, some_source()},
      Inspect{std::nullopt, false, some_source()},
      Survey{"/volumes"},
      Mark{target, R"({"pinned":"a \"b\" ü"})"},
      Exchange{target, 18446744073709551615U},
      Finish{target,
             {{"recovery.signal", WriteMode::Replace, "", 0600}, {"a/b.conf", WriteMode::ManagedBlock, "x=1\n", 0640}}},
      Discard{target, 12},
      Empty{"/recover", {"keep.me"}},
      MakeDirectory{"/repository/a/b", 999, 998, 0750},
      live_backup(),
      Copy{.role = Role::Both,
           .source = Source{.path = "/r", .snapshot = "a.b"},
           .in_place = InPlace{target, false, "g", {{"recovery.signal", WriteMode::Replace, "", 0600}}}},
      Snapshots{"/repository"},
      Forget{"/repository", {"default.a", "default.b"}, true},
      Forget{"/repository", {"default.a"}, false, true},
      Verify{"/repository", 3, 10},
      Keep{"/repository", {"default.a"}, {"default.b"}},
  };
}

TEST(Contract, EveryVerbIsReadAsItWasWritten) {
  for (const Job& job : one_of_each()) {
    const auto read = parse_job(to_json(job));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, job) << to_json(job);
  }
}

struct Refusal {
  const char* text;
  const char* says;
};

TEST(Contract, AWrongJobIsRefusedByNameOfItsField) {
  const Refusal refusals[] = {
      {"{", "no JSON"},
      {"[]", "the job is no object"},
      {R"({"verb":"dance"})", "verb 'dance' is unknown"},
      {R"({"verb":"exchange","parent":"/t","request":"a.b.c"})", "inode is missing"},
      {R"({"verb":"exchange","parent":"/t","request":"../b","inode":1})", "request '../b'"},
      {R"({"verb":"exchange","parent":"t","request":"a","inode":1})", "parent is no absolute path"},
      {R"({"verb":"exchange","parent":"/t","request":"a","inode":-1})", "inode is no whole number"},
      {R"({"verb":"discard","parent":"/t","request":"a","inode":1,"force":true})", "force is unknown"},
      {R"({"verb":"copy","role":"Both","source":{"path":"/s"}})", "target is missing for role Both"},
      {R"({"verb":"copy","role":"Sideways"})", "expected one of Send, Receive, Both"},
      {R"({"verb":"copy","role":"Both","source":{"path":"/s","keepWal":{"first":"1","last":"2"}},"target":{"parent":"/t","request":"a"}})",
       "'1' is no WAL segment"},
      {R"({"verb":"connect","link":{"mode":"Call","port":1,"transfer":"t"}})", "link.address is missing"},
      {R"({"verb":"connect","link":{"mode":"Serve","port":70000,"transfer":"t"}})", "link.port"},
      {R"({"verb":"mark","parent":"/t","request":"a","content":"{"})", "content is no JSON"},
      {R"({"verb":"copy","role":"Both","source":{"path":"/s"},"target":{"parent":"/t","request":"a"},"snapshot":{"path":"/r","id":"a"}})",
       "exclude each other"},
      {R"({"verb":"copy","role":"Both","source":{"path":"/s"},"snapshot":{"path":"/r","id":"../a"}})",
       "snapshot.id '../a'"},
      {R"({"verb":"forget","path":"/r","snapshots":["a/b"]})", "snapshots: 'a/b'"},
      {R"({"verb":"verify","path":"/r","part":2,"parts":2})", "part is no whole number from 0 to 1"},
      {"{\"verb\":\"empty\",\"path\":\"/a\\u0000b\"}", "zero byte"},
  };
  for (const auto& [text, says] : refusals) {
    const auto read = parse_job(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().kind, ErrorKind::Invalid);
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
  }
}

SnapshotSeen some_snapshot(const std::string& id) {
  return {id,
          R"({"policy":"outpack"})",
          Time(Millis(1'000)),
          Time(Millis(2'500)),
          true,
          1,
          2,
          3,
          4,
          5,
          6,
          {1, {"c"}},
          {2, {}},
          {3, {"f"}},
          7,
          true};
}

TEST(Contract, WhatARepositoryTellsIsReadAsItWasWritten) {
  const SnapshotsData snapshots{{some_snapshot("a.1"), some_snapshot("a.2")}, {"a.3"}, 1, 2, 3, 4};
  EXPECT_EQ(parse_snapshots_data(to_json(snapshots)).value(), snapshots);
  const ForgetData forgotten{1, 2, 3, 4, 5};
  EXPECT_EQ(parse_forget_data(to_json(forgotten)).value(), forgotten);
  const VerifyData verified{1, 2, 3, 4, {{"a.1", {1, {"x"}}}}};
  EXPECT_EQ(parse_verify_data(to_json(verified)).value(), verified);
  const Origin origin{"default", "ns", "outpack-1", "outpack", "production2", "v", Time(std::chrono::seconds(60))};
  EXPECT_EQ(parse_origin(to_json(origin)).value(), origin);
  EXPECT_EQ(parse_origin("{}").value(), Origin{});
}

TEST(Contract, LinesAreReadAsTheyWereWritten) {
  const Line lines[] = {Progress{"Copying", 5, 10, 1, 2, 100, 3}, Progress{"Scanning", 0, {}, 0, {}, {}, {}},
                        WorkerResult{true, "Copied", "It is done.", "", R"({"bytesDone":5})"},
                        WorkerResult{false, "NoSpace", "m", "n", "{}"}};
  for (const Line& line : lines) {
    const std::string text = to_json(line);
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(parse_line(text), line) << text;
  }
}

TEST(Contract, OtherPeoplesLinesAreNoneOfOurs) {
  for (const char* text : {"", "hello", "{}", "[1]", "{\"progress\":5}", "{\"level\":\"info\"}"})
    EXPECT_FALSE(parse_line(text)) << text;
}

TEST(Contract, DataIsReadAsItWasWritten) {
  CopyData copy{1, 2, 3, 4, 5, 6, 7, 8, 9, {"a", "b"}, 10, 11, 12, 13, 14, {1, {"c"}}, {2, {"d", "e"}}, {}, {}};
  copy.snapshot = some_snapshot("default.a");
  copy.previous = some_snapshot("default.b");
  EXPECT_EQ(parse_copy_data(to_json(copy)).value(), copy);
  const InspectData inspect{
      VolumeSeen{true, 5, true, false, 1, 2, 3, 4, 5, 6, {{"a.b.c", "{}", 7}, {"d", std::nullopt, std::nullopt}}},
      SourceSeen{1, 2, 3, 4}};
  EXPECT_EQ(parse_inspect_data(to_json(inspect)).value(), inspect);
  const ExchangeData exchange{true, 1, 2};
  EXPECT_EQ(parse_exchange_data(to_json(exchange)).value(), exchange);
  const ConnectData connect{0.25, "192.0.2.1"};
  EXPECT_EQ(parse_connect_data(to_json(connect)).value(), connect);
  EXPECT_EQ(parse_inode_data(to_json(InodeData{7})).value(), InodeData{7});
  EXPECT_EQ(parse_removed_data(to_json(RemovedData{7})).value(), RemovedData{7});
  EXPECT_FALSE(parse_copy_data("[]"));
}

TEST(Contract, RequestNamesAreDirectoriesOfOurs) {
  EXPECT_EQ(request_name("default", "uat-november", "db"), "default.uat-november.db");
  EXPECT_LE(request_name(std::string(63, 'a'), std::string(253, 'b'), "c").size(), 200U);
  EXPECT_TRUE(is_request_name(request_name(std::string(63, 'a'), std::string(253, 'b'), "c")));
  for (const char* wrong : {"", ".", "..", ".hidden", "a/b", "a b"}) EXPECT_FALSE(is_request_name(wrong)) << wrong;
}

}  // namespace
}  // namespace roadstead::mover
