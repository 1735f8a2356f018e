// What the validator says, word for word as kubectl prints it, and which schemas it refuses to serve.
#include "support.h"

namespace roadstead::crds {
namespace {

using testing::builtin;
using testing::minimal;
using Json = nlohmann::json;

Schema schema_of(const char* properties) {
  auto schema = Schema::compile(Json{{"type", "object"}, {"properties", Json::parse(properties)}});
  EXPECT_TRUE(schema) << schema.error().message;
  return std::move(*schema);
}

std::string said(const Schema& schema, const char* value, const char* old = nullptr) {
  std::string out;
  const Json before = old == nullptr ? Json() : Json::parse(old);
  for (const FieldError& error : schema.validate(Json::parse(value), old == nullptr ? nullptr : &before))
    out += (out.empty() ? "" : "\n") + error.reason + " " + to_string(error);
  return out;
}

struct Case {
  const char* name;
  const char* properties;
  const char* value;
  const char* said;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Validation : public ::testing::TestWithParam<Case> {};

TEST_P(Validation, SaysWhatKubernetesSays) {
  EXPECT_EQ(said(schema_of(GetParam().properties), GetParam().value), GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(
    All, Validation,
    ::testing::Values(
        Case{"Minimum", R"({"keep":{"type":"integer","minimum":1}})", R"({"keep":0})",
             "FieldValueInvalid keep: Invalid value: 0: keep in body should be greater than or equal to 1"},
        Case{"ExclusiveMaximum", R"({"keep":{"type":"number","maximum":1.5,"exclusiveMaximum":true}})",
             R"({"keep":1.5})", "FieldValueInvalid keep: Invalid value: 1.5: keep in body should be less than 1.5"},
        Case{"Type", R"({"keep":{"type":"integer"}})", R"({"keep":"x"})",
             R"(FieldValueTypeInvalid keep: Invalid value: "string": keep in body must be of type integer: "string")"},
        Case{"WholeFloatIsAnInteger", R"({"keep":{"type":"integer"}})", R"({"keep":3.0})", ""},
        Case{"FractionIsNone", R"({"keep":{"type":"integer"}})", R"({"keep":3.5})",
             R"(FieldValueTypeInvalid keep: Invalid value: "number": keep in body must be of type integer: "number")"},
        Case{"WhatADoubleCannotTellApartIsNone", R"({"keep":{"type":"integer"}})", R"({"keep":1e16})",
             R"(FieldValueTypeInvalid keep: Invalid value: "number": keep in body must be of type integer: "number")"},
        Case{"MoreThan64BitsIsNone", R"({"keep":{"type":"integer"}})", R"({"keep":18446744073709551615})",
             R"(FieldValueInvalid keep: Invalid value: 18446744073709551615: keep in body must be of type int64)"},
        Case{"Null", R"({"keep":{"type":"integer"}})", R"({"keep":null})",
             R"(FieldValueTypeInvalid keep: Invalid value: "null": keep in body must be of type integer: "null")"},
        Case{"Nullable", R"({"keep":{"type":"integer","nullable":true}})", R"({"keep":null})", ""},
        Case{"Enum", R"({"m":{"type":"string","enum":["Full","Incremental"]}})", R"({"m":"Zip"})",
             R"(FieldValueNotSupported m: Unsupported value: "Zip": supported values: "Full", "Incremental")"},
        Case{"Required", R"({"a":{"type":"object","required":["b"],"properties":{"b":{"type":"string"}}}})",
             R"({"a":{}})", "FieldValueRequired a.b: Required value"},
        Case{"Pattern", R"({"s":{"type":"string","pattern":"^a+$"}})", R"({"s":"b"})",
             R"(FieldValueInvalid s: Invalid value: "b": s in body should match '^a+$')"},
        Case{"LengthCountsCharacters", R"({"s":{"type":"string","maxLength":2}})", R"({"s":"äö"})", ""},
        Case{"TooLong", R"({"s":{"type":"string","maxLength":2}})", R"({"s":"abc"})",
             "FieldValueTooLong s: Too long: may not be more than 2 characters"},
        Case{"TooShort", R"({"s":{"type":"string","minLength":1}})", R"({"s":""})",
             R"(FieldValueInvalid s: Invalid value: "": s in body should be at least 1 chars long)"},
        Case{"DateTime", R"({"t":{"type":"string","format":"date-time"}})", R"({"t":"soon"})",
             R"(FieldValueInvalid t: Invalid value: "soon": t in body must be of type date-time: "soon")"},
        Case{"Items", R"({"l":{"type":"array","minItems":1,"items":{"type":"string"}}})", R"({"l":[]})",
             "FieldValueInvalid l: Invalid value: 0: l in body should have at least 1 items"},
        Case{"TooMany", R"({"l":{"type":"array","maxItems":1,"items":{"type":"string"}}})", R"({"l":["a","b"]})",
             "FieldValueTooMany l: Too many: 2: must have at most 1 items"},
        Case{"Set", R"({"tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}})",
             R"({"tags":["a","a"]})", R"(FieldValueDuplicate tags[1]: Duplicate value: "a")"},
        Case{
            "ListMap",
            R"({"l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["n"],"items":{"type":"object","required":["n"],"properties":{"n":{"type":"string"}}}}})",
            R"({"l":[{"n":"a"},{"n":"b"},{"n":"a"}]})", R"(FieldValueDuplicate l[2]: Duplicate value: {"n":"a"})"},
        Case{
            "MapKeyWithADot", R"({"m":{"type":"object","additionalProperties":{"type":"string"}}})",
            R"({"m":{"a.b":1}})",
            R"(FieldValueTypeInvalid m[a.b]: Invalid value: "integer": m[a.b] in body must be of type string: "integer")"},
        Case{
            "IntOrString",
            R"({"p":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}})",
            R"({"p":true})",
            R"(FieldValueTypeInvalid p: Invalid value: "boolean": p in body must be of type integer,string: "boolean")"},
        Case{
            "UnionOfNone",
            R"({"r":{"type":"object","oneOf":[{"required":["file"]},{"required":["env"]}],"properties":{"file":{"type":"string"},"env":{"type":"string"}}}})",
            R"({"r":{}})",
            R"(FieldValueInvalid r: Invalid value: "object": exactly one of "file", "env" must be set, found none)"},
        Case{
            "UnionOfTwo",
            R"({"r":{"type":"object","oneOf":[{"required":["file"]},{"required":["env"]}],"properties":{"file":{"type":"string"},"env":{"type":"string"}}}})",
            R"({"r":{"file":"a","env":"b"}})",
            R"(FieldValueInvalid r: Invalid value: "object": exactly one of "file", "env" must be set, found "file", "env")"},
        Case{"AnyOf", R"({"n":{"type":"integer","anyOf":[{"minimum":10},{"maximum":1}]}})", R"({"n":5})",
             R"(FieldValueInvalid n: Invalid value: 5: "n" must validate at least one schema (anyOf))"},
        Case{"Not", R"({"s":{"type":"string","not":{"enum":["root"]}}})", R"({"s":"root"})",
             R"(FieldValueInvalid s: Invalid value: "root": "s" must not validate the schema (not))"},
        Case{"TwoErrors", R"({"a":{"type":"integer"},"b":{"type":"boolean"}})", R"({"a":"x","b":1})",
             "FieldValueTypeInvalid a: Invalid value: \"string\": a in body must be of type integer: \"string\"\n"
             "FieldValueTypeInvalid b: Invalid value: \"integer\": b in body must be of type boolean: \"integer\""}),
    [](const auto& tested) { return tested.param.name; });

TEST(Immutability, HoldsWhereTheRuleSaysSo) {
  const Schema schema = schema_of(
      R"({"t":{"type":"object","x-kubernetes-validations":[{"rule":"self == oldSelf","message":"stays"}],"properties":{"n":{"type":"string"}}},"c":{"type":"boolean"}})");
  EXPECT_EQ(said(schema, R"({"t":{"n":"a"},"c":true})", R"({"t":{"n":"a"},"c":false})"), "");
  EXPECT_EQ(said(schema, R"({"t":{"n":"b"}})", R"({"t":{"n":"a"}})"), "FieldValueInvalid t: Invalid value: stays");
  EXPECT_EQ(said(schema, R"({"t":{"n":"b"}})"), "") << "a new object has nothing to keep";
}

TEST(Immutability, OfARestoreRequestLeavesWhatIsSaidOnTheWay) {
  const Crd& crd = *builtin().find(kApiVersion, "RestoreRequest");
  Json old = minimal("RestoreRequest");
  crd.schema.apply_defaults(old);
  const auto changed = [&](const char* pointer, Json value) {
    Json now = old;
    now[Json::json_pointer(pointer)] = std::move(value);
    const auto errors = validate_object(crd, now, &old);
    return errors.empty() ? std::string() : errors.front().field;
  };
  for (const char* flag : {"cancel", "suspend", "rollback"})
    EXPECT_EQ(changed((std::string("/spec/") + flag).c_str(), true), "") << flag;
  EXPECT_EQ(changed("/spec/keepPreviousSeconds", 0), "");
  EXPECT_EQ(changed("/spec/confirm", {{"host", "uat"}, {"volumes", {"montagu_db_volume"}}}), "");
  EXPECT_EQ(changed("/spec/target/hostRef/name", "science"), "spec.target");
  EXPECT_EQ(changed("/spec/items/0/to/volume", "other"), "spec.items");
  EXPECT_EQ(changed("/spec/applications/stop/graceSeconds", 5), "spec.applications");
  EXPECT_EQ(changed("/spec/strategy", "Staged"), "spec.strategy");
  EXPECT_EQ(changed("/spec/dryRun", true), "spec.dryRun");
  EXPECT_EQ(
      changed(
          "/spec/checks",
          Json::parse(R"([{"name":"c","sql":{"container":"a","database":"b","user":"c","query":"d","expect":"e"}}])")),
      "spec.checks");
}

TEST(Immutability, OfABarmanServerKeepsItsHostAndItsSlot) {
  const Crd& crd = *builtin().find(kApiVersion, "BarmanServer");
  Json old = minimal("BarmanServer");
  crd.schema.apply_defaults(old);
  const auto changed = [&](const char* pointer, Json value) {
    Json now = old;
    now[Json::json_pointer(pointer)] = std::move(value);
    const auto errors = validate_object(crd, now, &old);
    return errors.empty() ? std::string() : errors.front().field;
  };
  EXPECT_EQ(changed("/spec/source/port", 5433), "");
  EXPECT_EQ(changed("/spec/source/slotName", "other"), "spec.source.slotName") << "nobody would drop the old one";
  EXPECT_EQ(changed("/spec/hostRef/name", "other"), "spec.hostRef");
}

TEST(Immutability, OfABackupLeavesKeepAndDeletionPolicy) {
  const Crd& crd = *builtin().find(kApiVersion, "Backup");
  Json old = minimal("Backup");
  crd.schema.apply_defaults(old);
  const auto changed = [&](const char* pointer, Json value, const char* without = "") {
    Json now = old;
    now["spec"].erase(without);
    now[Json::json_pointer(pointer)] = std::move(value);
    const auto errors = validate_object(crd, now, &old);
    return errors.empty() ? std::string() : errors.front().field;
  };
  EXPECT_EQ(changed("/spec/keep", true), "");
  EXPECT_EQ(changed("/spec/deletionPolicy", "Delete"), "");
  EXPECT_EQ(changed("/spec/policyRef/name", "other"), "spec.policyRef");
  EXPECT_EQ(changed("/spec/scheduledTime", "2026-11-22T00:00:00Z"), "spec.scheduledTime");
  EXPECT_EQ(changed("/spec/source", Json::parse(R"({"barman":{"serverRef":{"name":"montagu"},"method":"Full"}})"),
                    "policyRef"),
            "spec.policyRef")
      << "one way of saying what is backed up does not become the other";
}

TEST(Defaults, FillFromTheOutsideInAndReplaceNull) {
  const Schema schema = schema_of(
      R"({"a":{"type":"object","default":{},"properties":{"n":{"type":"integer","default":60},"k":{"type":"string","nullable":true,"default":"x"}}},
          "l":{"type":"array","items":{"type":"object","properties":{"m":{"type":"string","default":"Full"}}}}})");
  Json value = Json::parse(R"({"l":[{},{"m":"Other"}]})");
  schema.apply_defaults(value);
  EXPECT_EQ(value, Json::parse(R"({"a":{"n":60,"k":"x"},"l":[{"m":"Full"},{"m":"Other"}]})"));
  value = Json::parse(R"({"a":{"n":null,"k":null}})");
  schema.apply_defaults(value);
  EXPECT_EQ(value, Json::parse(R"({"a":{"n":60,"k":null}})"));
}

TEST(Pruning, TakesAwayWhatIsUnknownAndNothingElse) {
  const Crd& crd = *builtin().find(kApiVersion, "RestoreRequest");
  Json object = minimal("RestoreRequest");
  object["metadata"]["managedFields"] = Json::array({{{"manager", "x"}}});
  object["status"] = {
      {"steps", {{{"name", "a/b"}, {"attempt", 1}, {"state", "Running"}, {"result", {{"free", {{"form", 1}}}}}}}}};
  const Json good = object;
  object["spec"]["later"] = 1;
  object["spec"]["items"][0]["to"]["postgres"] = {{"volume", "x"}};
  object["extra"] = true;
  EXPECT_EQ(crd.schema.unknown_fields(good).size(), 0u);
  std::vector<std::string> unknown;
  for (const FieldError& error : crd.schema.unknown_fields(object)) unknown.push_back(error.message);
  EXPECT_EQ(unknown,
            (std::vector<std::string>{R"(unknown field "extra")", R"(unknown field "spec.items[0].to.postgres")",
                                      R"(unknown field "spec.later")"}));
  crd.schema.prune(object);
  EXPECT_EQ(object, good);
}

TEST(Pruning, KnowsWhatWasMeant) {
  const Crd& crd = *builtin().find(kApiVersion, "BackupPolicy");
  Json object = minimal("BackupPolicy");
  object["spec"]["suspended"] = true;
  object["metadata"]["lables"] = Json::object();
  const auto unknown = crd.schema.unknown_fields(object);
  ASSERT_EQ(unknown.size(), 2u);
  EXPECT_EQ(unknown[0].hint, R"(did you mean "suspend"?)");
  EXPECT_EQ(unknown[1].hint, R"(did you mean "labels"?)");
}

struct Refused {
  const char* name;
  const char* schema;
  const char* message;
};
void PrintTo(const Refused& c, std::ostream* out) { *out << c.name; }

class BadSchema : public ::testing::TestWithParam<Refused> {};

TEST_P(BadSchema, IsRefusedWhenItIsLoaded) {
  const auto schema = Schema::compile(Json::parse(GetParam().schema));
  ASSERT_FALSE(schema);
  EXPECT_EQ(schema.error().message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadSchema,
    ::testing::Values(
        Refused{
            "OtherRule",
            R"({"type":"object","properties":{"a":{"type":"integer","x-kubernetes-validations":[{"rule":"self > 0"}]}}})",
            R"(a: the validation rule "self > 0" is not supported, only "self == oldSelf" is)"},
        Refused{"Reference", R"({"type":"object","properties":{"a":{"$ref":"#/x"}}})",
                R"(a: the keyword "$ref" is not supported)"},
        Refused{"NoType", R"({"type":"object","properties":{"a":{}}})", "a: has no type"},
        Refused{"UnknownType", R"({"type":"object","properties":{"a":{"type":"file"}}})",
                R"(a: type "file" is not known)"},
        Refused{"NoItems", R"({"type":"object","properties":{"a":{"type":"array"}}})", "a: is an array without items"},
        Refused{"Pattern", R"({"type":"object","properties":{"a":{"type":"string","pattern":"("}}})",
                "a: pattern (: missing ): ("},
        Refused{"Default", R"({"type":"object","properties":{"a":{"type":"integer","default":"x"}}})",
                R"(a: the default is not valid: Invalid value: "string": must be of type integer: "string")"},
        Refused{"UndeclaredInUnion", R"({"type":"object","oneOf":[{"properties":{"b":{"minimum":1}}}]})",
                "b: stands inside of oneOf, anyOf, allOf or not, but is not declared outside"},
        Refused{"TypeInUnion", R"({"type":"object","oneOf":[{"type":"object"}]})",
                R"(the root: "type" may not stand inside of oneOf, anyOf, allOf or not)"},
        Refused{
            "MapWithoutKeys",
            R"({"type":"object","properties":{"a":{"type":"array","x-kubernetes-list-type":"map","items":{"type":"object"}}}})",
            "a: x-kubernetes-list-map-keys belongs to x-kubernetes-list-type: map, and only to it"},
        Refused{"BothKindsOfProperties",
                R"({"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":true})",
                "the root: has both properties and additionalProperties"},
        Refused{"NotAnObject", R"({"type":"string"})", "the root: the type of the whole is not object"},
        Refused{"NegativeLength", R"({"type":"object","properties":{"a":{"type":"string","maxLength":-1}}})",
                "a: maxLength is not a whole number"},
        Refused{"UniqueItems",
                R"({"type":"object","properties":{"a":{"type":"array","uniqueItems":true,"items":{"type":"string"}}}})",
                "a: uniqueItems is not allowed, use x-kubernetes-list-type: set"}),
    [](const auto& tested) { return tested.param.name; });

TEST(BadSchema, MayNotNestWithoutEnd) {
  Json schema{{"type", "string"}};
  for (int i = 0; i < 200; ++i) schema = Json{{"type", "object"}, {"properties", {{"a", std::move(schema)}}}};
  EXPECT_FALSE(Schema::compile(schema));
}

TEST(BadValue, MayNotNestWithoutEnd) {
  Json value = 1;
  for (int i = 0; i < 5000; ++i) value = Json{{"a", std::move(value)}};
  const Schema schema = schema_of(R"({"a":{"type":"object","x-kubernetes-preserve-unknown-fields":true}})");
  ASSERT_EQ(schema.validate(value).size(), 1u);
  EXPECT_EQ(schema.validate(value)[0].message, "Invalid value: is nested deeper than 100 levels");
}

std::string judged(Json object) {
  const Crd& crd = *builtin().find(kApiVersion, object["kind"].get<std::string>());
  crd.schema.apply_defaults(object);
  const auto errors = validate_object(crd, object);
  return errors.empty() ? "" : to_string(errors.front());
}

TEST(Metadata, FollowsTheRulesForNames) {
  const auto with = [](const char* pointer, Json value) {
    Json object = minimal("BackupPolicy");
    object[Json::json_pointer(pointer)] = std::move(value);
    return judged(object);
  };
  EXPECT_EQ(with("/metadata/namespace", "default"), "");
  EXPECT_TRUE(
      with("/metadata/name", "Big_Name").starts_with("metadata.name: Invalid value: \"Big_Name\": a name consists of"));
  EXPECT_TRUE(with("/metadata/namespace", "a.b").starts_with("metadata.namespace: Invalid value"));
  EXPECT_TRUE(with("/metadata/labels", {{"a b", "x"}}).starts_with("metadata.labels[a b]: Invalid value"));
  EXPECT_TRUE(with("/metadata/labels", {{"a", "not ok"}}).starts_with("metadata.labels.a: Invalid value"));
  EXPECT_TRUE(
      with("/metadata/labels", {{"a", 1}})
          .starts_with(
              "metadata.labels.a: Invalid value: \"number\": metadata.labels.a in body must be of type string"));
  EXPECT_EQ(with("/metadata/annotations", {{"example.org/x", "any text at all"}}), "");
  const Json owner{{"apiVersion", "v1"}, {"kind", "Host"}, {"name", "uat"}, {"uid", "1"}};
  EXPECT_EQ(with("/metadata/ownerReferences", Json::array({owner})), "");
  for (const char* field : {"apiVersion", "kind", "name", "uid"}) {
    const auto owned = [&](Json value) {
      Json wrong = owner;
      wrong[field] = std::move(value);
      return with("/metadata/ownerReferences", Json::array({owner, wrong}));
    };
    const std::string at = std::string("metadata.ownerReferences[1].") + field;
    EXPECT_EQ(owned(""), at + ": Required value");
    EXPECT_EQ(owned(nullptr), at + ": Required value");
    EXPECT_TRUE(owned(5).starts_with(at + ": Invalid value: \"number\""));
  }
  EXPECT_TRUE(with("/metadata/ownerReferences", "x").starts_with("metadata.ownerReferences: Invalid value"));
  EXPECT_TRUE(with("/metadata/ownerReferences", {"x"}).starts_with("metadata.ownerReferences[0]: Invalid value"));
  EXPECT_EQ(with("/metadata", Json::object()), "metadata.name: Required value: name or generateName is required");
  EXPECT_EQ(with("/metadata", {{"generateName", "run-"}}), "");
  Json host = minimal("Host");
  host["metadata"]["namespace"] = "default";
  EXPECT_EQ(judged(host), "metadata.namespace: Forbidden: not allowed on this type");
  EXPECT_EQ(with("/apiVersion", "v1"), R"(apiVersion: Invalid value: "v1": must be roadstead.dev/v1alpha1)");
}

TEST(Semantics, SayWhatNoSchemaCan) {
  const auto with = [](const char* kind, const char* pointer, Json value) {
    Json object = minimal(kind);
    object[Json::json_pointer(pointer)] = std::move(value);
    return judged(object);
  };
  EXPECT_EQ(with("BackupPolicy", "/spec/schedule/cron", "0 25 * * *"),
            R"(spec.schedule.cron: Invalid value: "0 25 * * *": hour "25" is not between 0 and 23)");
  EXPECT_EQ(with("BackupPolicy", "/spec/schedule/jitterSeconds", 86400), "");
  EXPECT_NE(with("BackupPolicy", "/spec/schedule/jitterSeconds", 86401), "");
  EXPECT_NE(with("BackupPolicy", "/spec/schedule/jitterSeconds", -1), "");
  EXPECT_EQ(with("BackupPolicy", "/spec/schedule/cron", "0 0 31 2 *"),
            R"(spec.schedule.cron: Invalid value: "0 0 31 2 *": no such day ever comes)");
  EXPECT_EQ(
      with("BackupPolicy", "/spec/schedule/timeZone", "Europe/Lundon"),
      R"(spec.schedule.timeZone: Invalid value: "Europe/Lundon": "Europe/Lundon" is not the name of a time zone such as Europe/London or UTC)");
  const auto with_ssh = [&](const char* endpoint, const char* without = "") {
    Json engine{
        {"endpoint", endpoint}, {"identityRef", {{"file", "/key"}}}, {"knownHostsRef", {{"file", "/known_hosts"}}}};
    engine.erase(without);
    return with("Host", "/spec/engine", engine);
  };
  EXPECT_EQ(with_ssh("ssh://root@host:99999"),
            R"(spec.engine.endpoint: Invalid value: endpoint ssh://root@host:99999: "99999" is no port (1 to 65535))");
  EXPECT_TRUE(with_ssh("ssh://root@-x").starts_with("spec.engine.endpoint: Invalid value: endpoint ssh://root@-x: "));
  EXPECT_EQ(with_ssh("ssh://root@host:2222/run/docker.sock"), "");
  EXPECT_EQ(with_ssh("ssh://root@[::1]"), "");
  EXPECT_EQ(with_ssh("ssh://root@host", "identityRef"),
            "spec.engine.identityRef: Required value: an endpoint that begins with ssh:// needs the private key to log "
            "in with");
  EXPECT_EQ(with_ssh("ssh://root@host", "knownHostsRef"),
            "spec.engine.knownHostsRef: Required value: an endpoint that begins with ssh:// needs the known_hosts "
            "lines of the host (ssh-keyscan)");
  EXPECT_TRUE(
      with("Host", "/spec/engine/endpoint", "tcp://host:2376").starts_with("spec.engine.endpoint: Invalid value"));
  EXPECT_TRUE(with("Host", "/spec/engine/endpoint", "ssh://root:secret@host")
                  .starts_with("spec.engine.endpoint: Invalid value"));
  EXPECT_EQ(with("Host", "/spec/engine/identityRef", {{"file", "/k"}}),
            "spec.engine.identityRef: Forbidden: is only for an endpoint that begins with ssh://");
  EXPECT_EQ(with("Host", "/spec/data", {{"address", "h"}, {"ports", "20-10"}}),
            R"(spec.data.ports: Invalid value: "20-10": the range goes backwards)");
  EXPECT_EQ(
      with("BarmanServer", "/spec/volumes/recover", "barman_data"),
      R"(spec.volumes.recover: Invalid value: "barman_data": is the volume that holds the backups, and would be emptied for a restore)");
  EXPECT_EQ(
      with("BarmanServer", "/spec/postgres/parameters", {{"recovery_target_name", "x"}}),
      "spec.postgres.parameters.recovery_target_name: Forbidden: Roadstead sets this parameter itself during replay");
  EXPECT_EQ(with("BarmanServer", "/spec/postgres/parameters", {{"shared_buffers", "1GB"}}), "");
  EXPECT_EQ(with("BarmanServer", "/spec/postgres/user", "0:0"),
            R"(spec.postgres.user: Invalid value: "0:0": PostgreSQL refuses to run as root)");
  const auto policy = [&](const char* pointer, Json value, const char* without = "/none") {
    Json object = minimal("BackupPolicy");
    object["spec"]["source"] = Json::parse(R"({"hostRef":{"name":"production2"},"volumes":[{"name":"outpack"}]})");
    object["spec"]["destinations"] = Json::parse(R"([{"hostRef":{"name":"annex2"}}])");
    const Json::json_pointer gone(without);
    if (object.contains(gone)) object[gone.parent_pointer()].erase(gone.back());
    object[Json::json_pointer(pointer)] = std::move(value);
    return judged(object);
  };
  EXPECT_EQ(policy("/spec/retention", {{"keepLast", 7}}), "");
  EXPECT_EQ(policy("/spec/suspend", true, "/spec/destinations"),
            "spec.destinations: Required value: names the Hosts that keep the snapshots");
  EXPECT_EQ(policy("/spec/suspend", true, "/spec/source/hostRef"),
            "spec.source.hostRef: Required value: names the Host that is backed up");
  EXPECT_EQ(policy("/spec/destinations/1", {{"hostRef", {{"name", "annex2"}}}}),
            R"(spec.destinations[1].hostRef.name: Duplicate value: "annex2")");
  const Json repository = Json::parse(R"({"policyRefs":[{"name":"outpack"}]})");
  EXPECT_EQ(policy("/spec/source/repository", repository, "/spec/source/volumes"), "");
  EXPECT_EQ(policy("/spec/source", {{"hostRef", {{"name", "annex2"}}}, {"repository", repository}}),
            R"(spec.destinations[0].hostRef.name: Invalid value: "annex2": is the host whose repository is copied)");
  EXPECT_EQ(policy("/spec/source/repository", Json::parse(R"({"policyRefs":[{"name":"x"}]})"), "/spec/source/volumes"),
            R"(spec.source.repository.policyRefs[0].name: Invalid value: "x": is this policy itself)");
  EXPECT_EQ(policy("/spec/verification", {{"schedule", {{"cron", "0 25 * * *"}}}}),
            R"(spec.verification.schedule.cron: Invalid value: "0 25 * * *": hour "25" is not between 0 and 23)");
  EXPECT_EQ(with("BackupPolicy", "/spec/retention", {{"keepLast", 7}}),
            "spec.retention: Forbidden: is only for volumes and repository");
  EXPECT_EQ(with("BackupPolicy", "/spec/destinations", Json::parse(R"([{"hostRef":{"name":"annex2"}}])")),
            "spec.destinations: Forbidden: base backups stay where the BarmanServer is");
  EXPECT_EQ(with("Backup", "/spec/transfer", {{"connections", 2}}),
            "spec.transfer: Forbidden: the policy says it; is only for a source of its own");
  EXPECT_EQ(with("RestoreRequest", "/spec/applications", {{"start", {{"mode", "Listed"}}}}),
            "spec.applications.start.containers: Required value: mode Listed starts the containers named here");
  EXPECT_EQ(with("RestoreRequest", "/spec/confirm", {{"host", "production2"}, {"volumes", {"v"}}}),
            R"(spec.confirm.host: Invalid value: "production2": is not the target host "uat")");
  const auto from = [&](Json source) { return with("RestoreRequest", "/spec/items/0/from", std::move(source)); };
  const Json policy_ref{{"name", "outpack"}};
  EXPECT_EQ(from({{"backupPolicyRef", policy_ref}, {"volume", "outpack"}, {"asOf", "2026-11-22T09:41:07Z"}}), "");
  EXPECT_EQ(from({{"backupRef", policy_ref}, {"hostRef", {{"name", "annex2"}}}}), "");
  EXPECT_EQ(from({{"backupPolicyRef", policy_ref}}),
            "spec.items[0].from.volume: Required value: names the volume of the policy that is restored");
  EXPECT_EQ(from({{"backupRef", policy_ref}, {"asOf", "2026-11-22T09:41:07Z"}}),
            "spec.items[0].from.asOf: Forbidden: a Backup has one data time; is only for backupPolicyRef");
  EXPECT_NE(from({{"backupRef", policy_ref}, {"backupPolicyRef", policy_ref}, {"volume", "outpack"}}), "");
  Json none = minimal("RestoreRequest");
  none["spec"]["applications"] = {{"stop", {{"mode", "None"}}}};
  EXPECT_EQ(judged(none),
            R"(spec.applications.stop.mode: Invalid value: "None": a database must be stopped to be restored)");
  none["spec"]["items"][0]["from"] = {{"backupRef", policy_ref}};
  EXPECT_EQ(judged(none), "");
  none["spec"]["strategy"] = "Staged";
  EXPECT_EQ(
      judged(none),
      R"(spec.applications.stop.mode: Invalid value: "None": Staged exchanges the data, which a running application would not see; use InPlace)");
  Json two = minimal("RestoreRequest");
  two["spec"]["items"].push_back(two["spec"]["items"][0]);
  two["spec"]["items"][1]["name"] = "other";
  EXPECT_EQ(judged(two), R"(spec.items[1].to.volume: Duplicate value: "montagu_db_volume")");
}

}  // namespace
}  // namespace roadstead::crds
