#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/adapters/apiserver/http_message.h"

namespace roadstead::apiserver {

/// Who a request comes from. Everybody who is known may do everything.
class Authenticator {
 public:
  /// `tokens`: text of a static token file, `token,user,uid[,"group1,group2"]` per line, "#" for comments.
  /// Errors: Invalid (line number and what is wrong; never the token).
  [[nodiscard]] static Result<Authenticator> from_tokens(std::string_view tokens);

  /// The verified client certificate, else the bearer token. Nothing: unknown.
  [[nodiscard]] std::optional<User> who(const Request& request) const;

 private:
  struct Token {
    std::string digest;  ///< SHA-256: all of one length, and the token itself is not kept.
    User user;
  };
  std::vector<Token> tokens_;
};

}  // namespace roadstead::apiserver
