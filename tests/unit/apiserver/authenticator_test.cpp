#include "operator/adapters/apiserver/authenticator.h"

#include <gtest/gtest.h>

namespace roadstead::apiserver {
namespace {

Request with_header(const std::string& value) {
  Request request;
  request.headers = {{"authorization", value}};
  return request;
}

// Tokens are matched whole; a certificate comes before them.
TEST(AuthenticatorTest, KnowsTokensAndCertificates) {
  const auto known =
      Authenticator::from_tokens("# comment\n\n alpha , grafana , 1 , \"readers,people\" \r\nbeta,ci,2\n");
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(known->who(with_header("Bearer alpha"))->name, "grafana");
  EXPECT_EQ(known->who(with_header("Bearer alpha"))->groups, (std::vector<std::string>{"readers", "people"}));
  EXPECT_EQ(known->who(with_header("Bearer beta"))->name, "ci");
  for (const char* header :
       {"", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "bearer alpha", "Basic alpha", "alpha"})
    EXPECT_FALSE(known->who(with_header(header))) << header;
  Request certified = with_header("Bearer wrong");
  certified.certificate = {"admin", {"system:masters"}};
  EXPECT_EQ(known->who(certified)->name, "admin");
}

// A broken line is told by its number, without its content.
TEST(AuthenticatorTest, TellsTheBrokenLine) {
  const auto broken = Authenticator::from_tokens("alpha,grafana,1\nsecret-without-user\n");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("line 2"), std::string::npos);
  EXPECT_EQ(broken.error().message.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace roadstead::apiserver
