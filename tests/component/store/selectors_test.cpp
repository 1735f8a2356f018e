#include "operator/adapters/store/selectors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace roadstead::store {
namespace {

struct LabelCase {
  std::string selector;
  bool matches;
};

// Against {app: web, tier: test, empty: ""}.
class LabelSelectors : public testing::TestWithParam<LabelCase> {};

TEST_P(LabelSelectors, ChooseAsKubernetesDoes) {
  const auto selector = LabelSelector::parse(GetParam().selector);
  ASSERT_TRUE(selector) << selector.error().message;
  EXPECT_EQ(selector->matches({{"app", "web"}, {"tier", "test"}, {"empty", ""}}), GetParam().matches);
}

INSTANTIATE_TEST_SUITE_P(All, LabelSelectors,
                         testing::Values(LabelCase{"", true}, LabelCase{"app=web", true}, LabelCase{"app==web", true},
                                         LabelCase{"app = web", true}, LabelCase{"app=db", false},
                                         LabelCase{"app!=web", false}, LabelCase{"other!=web", true},
                                         LabelCase{"app in (web, db)", true}, LabelCase{"app in (db)", false},
                                         LabelCase{"other in (web)", false}, LabelCase{"app notin (web)", false},
                                         LabelCase{"other notin (web)", true}, LabelCase{"app", true},
                                         LabelCase{"other", false}, LabelCase{"!other", true}, LabelCase{"!app", false},
                                         LabelCase{"app=web,tier=test", true}, LabelCase{"app=web, tier=live", false},
                                         LabelCase{"empty=", true}, LabelCase{"app in (web),!other", true},
                                         LabelCase{"example.org/team=a", false}),
                         [](const auto& one) { return "Case" + std::to_string(one.index); });

TEST(LabelSelectorErrors, NameThePartThatCannotBeRead) {
  for (const char* text :
       {"app in web", "app in (web", "in (web)", "=web", "a b", "app=we b", ",", "app=web,", "app with (x)"}) {
    const auto selector = LabelSelector::parse(text);
    ASSERT_FALSE(selector) << text;
    EXPECT_EQ(selector.error().kind, ErrorKind::Invalid);
  }
}

TEST(FieldSelectors, KnowNameAndNamespaceOfEveryKind) {
  const auto selector = FieldSelector::parse("metadata.name=uat,metadata.namespace!=default", "BackupPolicy");
  ASSERT_TRUE(selector);
  EXPECT_FALSE(selector->needs_body());
  EXPECT_TRUE(selector->matches({"BackupPolicy", "site-b", "uat"}));
  EXPECT_FALSE(selector->matches({"BackupPolicy", "default", "uat"}));
  EXPECT_FALSE(selector->matches({"BackupPolicy", "site-b", "annex2"}));
  EXPECT_FALSE(FieldSelector::parse("reason=X", "BackupPolicy"));
  EXPECT_FALSE(FieldSelector::parse("metadata.name", "BackupPolicy"));
}

TEST(FieldSelectors, LookIntoEvents) {
  const nlohmann::json event = {{"reason", "RunMissed"},
                                {"source", {{"component", "roadstead"}}},
                                {"involvedObject", {{"name", "uat"}, {"kind", "Host"}}}};
  const auto matches = [&](const char* text) {
    return FieldSelector::parse(text, "Event").value().matches_body(event);
  };
  EXPECT_TRUE(matches("involvedObject.name=uat,involvedObject.kind==Host,reason=RunMissed"));
  EXPECT_TRUE(matches("source=roadstead"));
  EXPECT_TRUE(matches("involvedObject.namespace="));
  EXPECT_FALSE(matches("involvedObject.name!=uat"));
  EXPECT_FALSE(matches("involvedObject.uid=7"));
}

}  // namespace
}  // namespace roadstead::store
