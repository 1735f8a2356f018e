#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crds/yaml/catalog.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using ::testing::HasSubstr;

ResourceTypes types() {
  const nlohmann::json crd{{"spec",
                            {{"group", "roadstead.dev"},
                             {"scope", "Namespaced"},
                             {"names",
                              {{"kind", "RestoreRequest"},
                               {"plural", "restorerequests"},
                               {"singular", "restorerequest"},
                               {"shortNames", {"rr"}}}},
                             {"versions", {{{"name", "v1alpha1"}, {"storage", true}}}}}}};
  return ResourceTypes::from_crds({crd}).value();
}

struct Ran {
  int code;
  std::string out, err;
};

Ran run(std::vector<const char*> words, OperatorOptions* started = nullptr) {
  static const ResourceTypes kinds = types();
  static const SystemClock clock;
  std::ostringstream out, err;
  std::istringstream in;
  CliHooks hooks;
  hooks.run_operator = [&](const OperatorOptions& options) {
    if (started != nullptr) *started = options;
    return 7;
  };
  hooks.types = &kinds;
  hooks.clock = &clock;
  hooks.in = &in;
  hooks.out = &out;
  hooks.err = &err;
  hooks.version = "0.1.0";
  words.insert(words.begin(), "roadstead");
  const int code = run_cli(static_cast<int>(words.size()), words.data(), hooks);
  return {code, out.str(), err.str()};
}

// A kind is taken by each of its names in any case, alone, with names, or with slashes.
TEST(Targets, AreTakenAsPeopleWriteThem) {
  const ResourceTypes kinds = types();
  for (const char* word :
       {"RestoreRequest", "restorerequests", "restorerequest", "RR", "restorerequests.roadstead.dev"})
    EXPECT_EQ(targets_of({word}, kinds)->front().type->kind, "RestoreRequest") << word;
  EXPECT_EQ(targets_of({"rr"}, kinds)->front().name, "");
  EXPECT_EQ(targets_of({"rr", "a", "b"}, kinds)->at(1).name, "b");
  EXPECT_EQ(targets_of({"rr/a", "rr/b"}, kinds)->at(0).name, "a");
  EXPECT_THAT(targets_of({"ghosts"}, kinds).error().message,
              HasSubstr("there is no kind \"ghosts\": known are restorerequests"));
  EXPECT_FALSE(targets_of({"rr/a", "b"}, kinds));
  EXPECT_FALSE(targets_of({"rr", "rr/b"}, kinds));
  EXPECT_FALSE(targets_of({"rr/"}, kinds));
}

// Durations as kubectl writes them; nonsense is refused.
TEST(Durations, AreRead) {
  EXPECT_EQ(parse_duration("90s").value(), Millis(90'000));
  EXPECT_EQ(parse_duration("1h30m").value(), Millis(5'400'000));
  EXPECT_EQ(parse_duration("250ms").value(), Millis(250));
  EXPECT_EQ(parse_duration("0").value(), Millis(0));
  for (const char* text : {"", "90", "s", "5x", "-5s", "1.5h", "99999999999s"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

// The flags of `roadstead operator` arrive, and its exit code is the program's.
TEST(CommandLine, StartsTheOperator) {
  OperatorOptions options;
  const Ran ran =
      run({"operator", "--data", "/d", "--manifests", "/m", "--installation", "two", "--listen", "[::1]:7000",
           "--metrics-listen", ":9000", "--image-archive", "a.tar", "--image-archive", "b.tar", "--log-level", "debug"},
          &options);
  EXPECT_EQ(ran.code, 7) << ran.err;
  EXPECT_EQ(options.data_dir, "/d");
  EXPECT_EQ(options.manifests_dir, "/m");
  EXPECT_EQ(options.installation, "two");
  EXPECT_EQ(options.listen_address, "::1");
  EXPECT_EQ(options.listen_port, 7000);
  EXPECT_EQ(options.metrics_address, "0.0.0.0");
  EXPECT_EQ(options.metrics_port, 9000);
  EXPECT_EQ(options.image_archives, (std::vector<std::string>{"a.tar", "b.tar"}));
  EXPECT_EQ(options.log_level, LogLevel::Debug);
}

// A wrong command line is 2 with one sentence and does nothing; help is 0 and goes to standard output.
TEST(CommandLine, TellsWrongUse) {
  using Words = std::vector<const char*>;
  static const std::string long_name(64, 'a');
  const char* const kLong = long_name.c_str();
  const std::vector<Words> wrong{Words{},
                                 Words{"explode"},
                                 Words{"get"},
                                 Words{"get", "rr", "--nonsense"},
                                 Words{"operator", "--listen", "nowhere"},
                                 Words{"operator", "--installation", ""},
                                 Words{"operator", "--installation", "Two"},
                                 Words{"operator", "--installation", "a_b"},
                                 Words{"operator", "--installation", "a.b"},
                                 Words{"operator", "--installation", "-a"},
                                 Words{"operator", "--installation", kLong},
                                 Words{"wait", "rr/a"},
                                 Words{"wait", "rr/a", "--for=delete", "--timeout", "soon"}};
  for (const Words& words : wrong) {
    const Ran ran = run(words);
    EXPECT_EQ(ran.code, kExitUsage) << ran.out;
    EXPECT_THAT(ran.err, HasSubstr("error: "));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  const Ran help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("apply"));
  EXPECT_EQ(run({"get", "--help"}).code, 0);
}

// Where no operator was ever started the answer says what to do.
TEST(CommandLine, SaysHowToStartTheOperator) {
  const Ran ran = run({"get", "rr", "--data", "/nowhere"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_EQ(ran.err,
            "error: /nowhere/admin.kubeconfig is not there: start the operator (roadstead operator --data /nowhere), "
            "or name another file with --kubeconfig\n");
}

}  // namespace
}  // namespace roadstead::cli
