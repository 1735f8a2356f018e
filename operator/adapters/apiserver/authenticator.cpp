#include "operator/adapters/apiserver/authenticator.h"

#include <openssl/crypto.h>

#include <sstream>

#include "operator/base/hash.h"

namespace roadstead::apiserver {
namespace {

constexpr std::string_view kBearer = "Bearer ";

std::string without_blanks(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Fields of one line, separated by commas; a quoted field may contain some.
std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back().push_back(c);
    }
  }
  for (std::string& field : fields) field = without_blanks(field);
  return fields;
}

bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

Result<Authenticator> Authenticator::from_tokens(std::string_view tokens) {
  Authenticator made;
  std::istringstream lines{std::string(tokens)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line = without_blanks(line);
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> fields = fields_of(line);
    if (fields.size() < 3 || fields[0].empty() || fields[1].empty())
      return fail(ErrorKind::Invalid, "line {}: a line is token,user,uid[,\"group,group\"]", number);
    Token token{sha256_hex(fields[0]), {fields[1], {}}};
    if (fields.size() > 3) token.user.groups = fields_of(fields[3]);
    made.tokens_.push_back(std::move(token));
  }
  return made;
}

std::optional<User> Authenticator::who(const Request& request) const {
  if (!request.certificate.name.empty()) return request.certificate;
  const std::string_view header = request.header("authorization");
  if (header.substr(0, kBearer.size()) != kBearer) return std::nullopt;
  const std::string digest = sha256_hex(header.substr(kBearer.size()));
  const Token* found = nullptr;
  for (const Token& token : tokens_)  // to the end in any case: time says nothing about which one was close
    if (same(token.digest, digest)) found = &token;
  if (found == nullptr) return std::nullopt;
  return found->user;
}

}  // namespace roadstead::apiserver
