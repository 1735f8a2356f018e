// What `kubectl get` prints: golden rows, and the JSONPath behind the columns.
#include "crds/schema/table.h"

#include "support.h"

namespace roadstead::crds {
namespace {

using testing::at;
using testing::builtin;
using testing::minimal;
using Json = nlohmann::json;

const Time kNow = at("2026-11-22T09:45:07Z");

/// Header and rows as text, columns with priority in brackets.
std::string printed(const Json& table) {
  std::string out;
  for (const Json& column : table["columnDefinitions"])
    out += (out.empty() ? "" : "|") + (column["priority"] == 0 ? column["name"].get<std::string>()
                                                               : "(" + column["name"].get<std::string>() + ")");
  for (const Json& row : table["rows"]) {
    out += "\n";
    for (std::size_t i = 0; i < row["cells"].size(); ++i) {
      const Json& cell = row["cells"][i];
      out += (i == 0 ? "" : "|") + (cell.is_string() ? cell.get<std::string>()
                                    : cell.is_null() ? std::string()
                                                     : cell.dump());
    }
  }
  return out;
}

Json object_with(const char* kind, const char* status) {
  Json object = minimal(kind);
  object["metadata"]["creationTimestamp"] = "2026-11-22T09:41:07Z";
  object["status"] = Json::parse(status);
  builtin().find(kApiVersion, kind)->schema.apply_defaults(object);
  return object;
}

std::string table_of(const char* kind, const char* status) {
  const std::vector<Json> objects{object_with(kind, status)};
  return printed(table_for(*builtin().find(kApiVersion, kind), objects, kNow, "94"));
}

TEST(Tables, OfARestoreLookLikeTheManual) {
  EXPECT_EQ(
      table_of(
          "RestoreRequest",
          R"({"phase":"Copying","summary":{"progress":"61%","rate":"412.0 MiB/s","eta":"2m10s","dataAsOf":"2026-11-22T09:41:07Z"},
                         "conditions":[{"type":"Accepted","status":"True"},{"type":"Complete","status":"False","message":"copying"}]})"),
      "Name|Target|Phase|Progress|Rate|ETA|Data As Of|(Dry Run)|(Message)|Age\n"
      "x|uat|Copying|61%|412.0 MiB/s|2m10s|2026-11-22T09:41:07Z|false|copying|4m");
}

TEST(Tables, LeaveBlankWhatIsNotKnown) {
  EXPECT_EQ(table_of("RestoreRequest", "{}"),
            "Name|Target|Phase|Progress|Rate|ETA|Data As Of|(Dry Run)|(Message)|Age\n"
            "x|uat||||||false||4m");
}

TEST(Tables, OfTheOtherKinds) {
  EXPECT_EQ(table_of("Host", R"({"engineVersion":"27.3.1","architecture":"x86_64","lastSeen":"2026-11-22T09:45:00Z",
                                 "summary":{"free":"412.0 GiB of 1.8 TiB","uncovered":"2 of 7"},"conditions":[{"type":"Reachable","status":"True"}]})"),
            "Name|Endpoint|Reachable|Engine|Free|Uncovered|(Protected)|(Arch)|(Last Seen)|Age\n"
            "x|unix:///var/run/docker.sock|True|27.3.1|412.0 GiB of 1.8 TiB|2 of 7|false|x86_64|7s|4m");
  EXPECT_EQ(
      table_of("BarmanServer",
               R"({"postgresVersion":"17.11","lastBackup":{"id":"20261101T000003","endTime":"2026-11-01T00:20:00Z"},
                                         "firstRecoverabilityPoint":"2026-09-01T00:20:00Z","slot":{"name":"barman","active":true,"walStatus":"reserved"},
                                         "summary":{"walLag":"1.2 MiB","databaseSize":"757.0 GiB","archive":"1.1 TiB"},"conditions":[{"type":"Ready","status":"True"}]})"),
      "Name|Host|Source|Ready|Postgres|Last Backup|WAL Lag|(Database)|(Archive)|(Slot)|(Recoverable Since)|Age\n"
      "x|annex2|production2|True|17.11|21d|1.2 MiB|757.0 GiB|1.1 TiB|reserved|2026-09-01T00:20:00Z|4m");
  EXPECT_EQ(table_of("BackupPolicy",
                     R"({"lastSuccessTime":"2026-11-01T00:20:00Z","nextRunTime":"2026-12-01T00:00:00Z","missedRuns":2,
                                         "conditions":[{"type":"RepositoryHealthy","status":"True"}]})"),
            "Name|Schedule|Suspend|Last Success|Next Run|(Zone)|(Last Failure)|(Missed)|(Healthy)|Age\n"
            "x|@daily|false|21d|2026-12-01T00:00:00Z|UTC||2|True|4m");
  Json backup = object_with(
      "Backup",
      R"({"phase":"Running","summary":{"progress":"40%","eta":"5m"},"size":"2.2 GiB","consistency":"AtRest"})");
  backup["metadata"]["labels"] = {{"roadstead.dev/policy", "montagu-base"}};
  EXPECT_EQ(printed(table_for(*builtin().find(kApiVersion, "Backup"), std::vector<Json>{backup}, kNow, "94")),
            "Name|Policy|Phase|Progress|ETA|Size|Finished|(Backup ID)|(Rate)|(Consistency)|(Keep)|(Data As Of)|Age\n"
            "x|montagu-base|Running|40%|5m|2.2 GiB||||AtRest|false||4m");
}

TEST(Tables, CarryWhatTheClientAskedFor) {
  const Crd& crd = *builtin().find(kApiVersion, "Host");
  const std::vector<Json> objects{object_with("Host", "{}")};
  const Json table = table_for(crd, objects, kNow, "94");
  EXPECT_EQ(table["kind"], "Table");
  EXPECT_EQ(table["apiVersion"], "meta.k8s.io/v1");
  EXPECT_EQ(table["metadata"]["resourceVersion"], "94");
  EXPECT_EQ(table["columnDefinitions"][0], Json::parse(R"({"name":"Name","type":"string","format":"name","priority":0,
    "description":"Name of the object, unique among its kind and namespace."})"));
  EXPECT_EQ(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
  EXPECT_EQ(table["rows"][0]["object"]["metadata"]["name"], "x");
  EXPECT_FALSE(table["rows"][0]["object"].contains("spec"));
  EXPECT_EQ(table_for(crd, objects, kNow, "94", IncludeObject::None)["rows"][0]["object"], Json());
  EXPECT_EQ(table_for(crd, objects, kNow, "94", IncludeObject::Object)["rows"][0]["object"], objects[0]);
  EXPECT_EQ(table_for(crd, {}, kNow, "94")["rows"], Json::array());
}

TEST(Cells, HaveTheTypeOfTheirColumn) {
  const auto cell = [](const char* type, const char* value) {
    PrinterColumn column;
    column.type = type;
    column.path = JsonPath::parse(".v").value();
    return table_cell(column, Json{{"v", Json::parse(value)}}, kNow).dump();
  };
  EXPECT_EQ(cell("string", "5"), "\"5\"");
  EXPECT_EQ(cell("string", R"(["a","b"])"), R"("[\"a\",\"b\"]")");
  EXPECT_EQ(cell("string", "null"), "null");
  EXPECT_EQ(cell("integer", "5"), "5");
  EXPECT_EQ(cell("integer", "\"5\""), "null");
  EXPECT_EQ(cell("number", "1.5"), "1.5");
  EXPECT_EQ(cell("boolean", "1"), "null");
  EXPECT_EQ(cell("date", "\"2026-11-22T09:39:51Z\""), "\"5m16s\"");
  EXPECT_EQ(cell("date", "\"soon\""), "\"<invalid>\"");
  EXPECT_EQ(cell("date", "\"2026-11-22T10:39:51Z\""), "\"<invalid>\"");
}

TEST(JsonPaths, FindWhatKubectlFinds) {
  const Json value = Json::parse(
      R"({"a":{"b":1,"x.y":2},"l":[{"type":"Ready","status":"True","n":1},{"type":"Other","status":"False","n":2}],"e":[]})");
  const auto found = [&](const char* path) {
    const auto parsed = JsonPath::parse(path);
    if (!parsed) return parsed.error().message;
    std::string out;
    for (const Json* hit : parsed->find(value)) out += (out.empty() ? "" : " ") + hit->dump();
    return out;
  };
  EXPECT_EQ(found(".a.b"), "1");
  EXPECT_EQ(found("{.a.b}"), "1");
  EXPECT_EQ(found("{$.a.b}"), "1");
  EXPECT_EQ(found(".a['x.y']"), "2");
  EXPECT_EQ(found(".a[\"x.y\"]"), "2");
  EXPECT_EQ(found(R"(.a['x\.y'])"), "2");
  EXPECT_EQ(found(R"(.a.x\.y)"), "2");
  EXPECT_EQ(found(".l[0].type"), "\"Ready\"");
  EXPECT_EQ(found(".l[-1].type"), "\"Other\"");
  EXPECT_EQ(found(".l[5].type"), "");
  EXPECT_EQ(found(".l[*].n"), "1 2");
  EXPECT_EQ(found(R"(.l[?(@.type=="Ready")].status)"), "\"True\"");
  EXPECT_EQ(found(".l[?(@.type=='Other')].status"), "\"False\"");
  EXPECT_EQ(found(".l[?(@.n != 1)].status"), "\"False\"");
  EXPECT_EQ(found(".l[?(@.missing)].status"), "");
  EXPECT_EQ(found(".e[0]"), "");
  EXPECT_EQ(found(".a.b.c"), "");
  EXPECT_EQ(found("a.b"), R"(the JSONPath "a.b" is not understood at "a.b")");
  EXPECT_EQ(found(".a[?(@.b=="), R"(the JSONPath ".a[?(@.b==" is not understood at "")");
  EXPECT_EQ(found(".a..b"), R"(the JSONPath ".a..b" is not understood at ".b")");
}

}  // namespace
}  // namespace roadstead::crds
