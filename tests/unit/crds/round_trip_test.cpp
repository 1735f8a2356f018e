// The schemas and the C++ values cannot drift apart: every property goes through the value and comes back.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "crds/all_kinds.h"
#include "support.h"

namespace roadstead::crds {
namespace {

using testing::builtin;
using testing::minimal;
using Json = nlohmann::json;

bool fits(const Json& schema, const Json& value) {
  const auto compiled = Schema::compile(Json{{"type", "object"}, {"properties", {{"value", schema}}}});
  return compiled && compiled->validate(Json{{"value", value}}).empty();
}

/// Makes a value with every property of a schema in it. Of a union it takes the branch `choice`, of an enum likewise.
class Generator {
 public:
  explicit Generator(std::size_t choice) : choice_(choice) {}

  Json make(const Json& schema, const std::string& path) {
    if (schema.value("x-kubernetes-preserve-unknown-fields", false)) return {{"any", {1, {{"deep", "x"}}}}};
    if (schema.contains("enum")) return schema["enum"][choice_ % schema["enum"].size()];
    const std::string type = schema["type"];
    if (type == "object") return object(schema, path);
    if (type == "array") return Json::array({make(schema["items"], path + "[0]")});
    if (type == "boolean") return choice_ % 2 == 0;
    if (type == "integer") return integer(schema);
    return text(schema, path);
  }

 private:
  Json object(const Json& schema, const std::string& path) {
    std::set<std::string> left_out;
    if (schema.contains("oneOf"))
      for (std::size_t i = 0; i < schema["oneOf"].size(); ++i)
        if (i != choice_ % schema["oneOf"].size()) left_out.insert(schema["oneOf"][i]["required"][0]);
    Json out = Json::object();
    if (schema.contains("additionalProperties"))
      out["some_key"] = make(schema["additionalProperties"], path + ".some_key");
    if (schema.contains("properties"))
      for (const auto& [name, inner] : schema["properties"].items())
        if (!left_out.contains(name)) out[name] = make(inner, path + "." + name);
    return out;
  }

  Json integer(const Json& schema) {
    const std::int64_t low = std::max<std::int64_t>(1, schema.value("minimum", std::int64_t{1}));
    const std::int64_t high = schema.value("maximum", std::int64_t{1} << 40);
    return std::min(high, low + ++counter_);
  }

  Json text(const Json& schema, const std::string& path) {
    for (const char* candidate : {"2026-11-22T09:41:07Z", "some text", "/some/path", "some-name", "some_name",
                                  "unix:///run/docker.sock", "16/B374D848", "000000010000000000000001",
                                  "20261101T000003", "999:999", "10022-10031", "SOME_NAME", "https://example.org/hook"})
      if (fits(schema, candidate)) return candidate;
    ADD_FAILURE() << path << ": no candidate fits " << schema.dump();
    return "";
  }

  std::size_t choice_;
  std::int64_t counter_ = 0;
};

template <class T>
class EveryKind : public ::testing::Test {};
using Kinds = ::testing::Types<Host, BarmanServer, BackupPolicy, Backup, RestoreRequest>;
TYPED_TEST_SUITE(EveryKind, Kinds);

template <class T>
const Crd& crd_of() {
  return *builtin().find(kApiVersion, Kind<T>::kind);
}

TYPED_TEST(EveryKind, CarriesEveryPropertyOfItsSchemaThereAndBack) {
  const Json schema = Json::parse(crd_of<TypeParam>().open_api);
  for (std::size_t choice = 0; choice < 12; ++choice) {
    Json object = Generator(choice).make(schema, "");
    object["apiVersion"] = kApiVersion;
    object["kind"] = Kind<TypeParam>::kind;
    object["metadata"] = Json::parse(R"({"name":"x","uid":"1-2","resourceVersion":"7","generation":3,
      "creationTimestamp":"2026-11-22T09:41:07Z","deletionTimestamp":"2026-11-22T09:41:08Z","labels":{"a":"b"},"annotations":{"c":"d"},
      "finalizers":["roadstead.dev/x"],"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"u","controller":true}]})");
    const auto errors = crd_of<TypeParam>().schema.validate(object);
    ASSERT_TRUE(errors.empty()) << to_string(errors.front());
    const auto value = from_json<TypeParam>(object);
    ASSERT_TRUE(value) << value.error().message;
    const Json back = to_json(*value);
    EXPECT_EQ(back, object) << Json::diff(object, back).dump(1);
  }
}

TYPED_TEST(EveryKind, HasTheDefaultsOfItsSchema) {
  const Json written = minimal(std::string(Kind<TypeParam>::kind));
  Json filled = written;
  crd_of<TypeParam>().schema.apply_defaults(filled);
  const auto problems = validate_object(crd_of<TypeParam>(), filled);
  ASSERT_TRUE(problems.empty()) << to_string(problems.front());
  EXPECT_EQ(to_json(from_json<TypeParam>(filled).value())["spec"], filled["spec"]);
  EXPECT_EQ(to_json(from_json<TypeParam>(written).value())["spec"], filled["spec"]);
}

TYPED_TEST(EveryKind, AgreesWithItsDefinitionOnNamesAndScope) {
  const Crd& crd = crd_of<TypeParam>();
  EXPECT_EQ(crd.plural, Kind<TypeParam>::plural);
  EXPECT_EQ(crd.scope, Kind<TypeParam>::scope);
  EXPECT_TRUE(crd.has_status);
}

void collect_names(const Json& schema, std::set<std::string>& out) {
  if (schema.contains("properties"))
    for (const auto& [name, inner] : schema["properties"].items()) {
      out.insert(name);
      collect_names(inner, out);
    }
  for (const char* key : {"items", "additionalProperties"})
    if (schema.contains(key) && schema[key].is_object()) collect_names(schema[key], out);
}

TEST(Values, NameNoFieldThatNoSchemaKnows) {
  std::set<std::string> known{"namespace",         "uid",    "resourceVersion", "generation", "creationTimestamp",
                              "deletionTimestamp", "labels", "annotations",     "finalizers", "ownerReferences",
                              "controller"};
  for (const auto& crd : builtin().all()) collect_names(Json::parse(crd->open_api), known);
  const std::regex field(R"re(io\.(?:required|optional|field|json_text)\("(\w+)")re");
  std::size_t found = 0;
  for (const char* file : {"common_fields.h", "backup_source_fields.h", "host.cpp", "barman_server.cpp",
                           "backup_policy.cpp", "backup.cpp", "restore_request.cpp"}) {
    std::ifstream stream(std::string(ROADSTEAD_SOURCE_DIR "/crds/") + file);
    std::stringstream text;
    text << stream.rdbuf();
    const std::string code = text.str();
    for (std::sregex_iterator it(code.begin(), code.end(), field), end; it != end; ++it, ++found)
      EXPECT_TRUE(known.contains((*it)[1].str())) << file << " names " << (*it)[1];
  }
  EXPECT_GT(found, 150u) << "the search itself is broken";
}

void expect_descriptions(const Json& schema, const std::string& path) {
  // Of metadata a definition may say nothing but its type.
  if (!path.ends_with(".metadata")) {
    EXPECT_FALSE(schema.value("description", "").empty()) << path << " has no description";
  }
  if (schema.contains("properties"))
    for (const auto& [name, inner] : schema["properties"].items()) expect_descriptions(inner, path + "." + name);
  for (const char* key : {"items", "additionalProperties"})
    if (schema.contains(key) && schema[key].is_object()) expect_descriptions(schema[key], path + "[]");
}

TEST(Definitions, DescribeEveryField) {
  ASSERT_EQ(builtin().all().size(), 5u);
  for (const auto& crd : builtin().all()) {
    expect_descriptions(Json::parse(crd->open_api), crd->kind);
    for (const PrinterColumn& column : crd->columns)
      EXPECT_FALSE(column.description.empty()) << crd->kind << " " << column.name;
    EXPECT_EQ(crd->categories, (std::vector<std::string>{"all", "roadstead"}));
  }
}

TEST(Catalog, FindsAKindByEachOfItsNames) {
  for (const char* name :
       {"rr", "restorerequest", "restorerequests", "RestoreRequest", "restorerequests.roadstead.dev"})
    EXPECT_EQ(builtin().find_by_name(name), builtin().find(kApiVersion, "RestoreRequest")) << name;
  EXPECT_EQ(builtin().find_by_name("pods"), nullptr);
  EXPECT_EQ(builtin().find_by_name("hosts.example.org"), nullptr);
  EXPECT_EQ(builtin().find("roadstead.dev/v1", "Host"), nullptr);
  EXPECT_NE(builtin().find_resource("roadstead.dev", "v1alpha1", "backuppolicies"), nullptr);
}

}  // namespace
}  // namespace roadstead::crds
