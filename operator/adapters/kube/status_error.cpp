#include "operator/adapters/kube/status_error.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace roadstead::kube {
namespace {

using nlohmann::json;

struct Reason {
  const char* word;
  ErrorKind kind;
};

constexpr Reason kReasons[] = {
    {"NotFound", ErrorKind::NotFound},
    {"AlreadyExists", ErrorKind::AlreadyExists},
    {"Conflict", ErrorKind::Conflict},
    {"Invalid", ErrorKind::Invalid},
    {"BadRequest", ErrorKind::Invalid},
    {"MethodNotAllowed", ErrorKind::Invalid},
    {"NotAcceptable", ErrorKind::Invalid},
    {"UnsupportedMediaType", ErrorKind::Invalid},
    {"RequestEntityTooLarge", ErrorKind::Invalid},
    {"Forbidden", ErrorKind::Forbidden},
    {"Unauthorized", ErrorKind::Forbidden},
    {"Expired", ErrorKind::Expired},
    {"Gone", ErrorKind::Expired},
    {"Timeout", ErrorKind::Timeout},
    {"ServerTimeout", ErrorKind::Timeout},
    {"ServiceUnavailable", ErrorKind::Unavailable},
    {"TooManyRequests", ErrorKind::Unavailable},
    {"InsufficientStorage", ErrorKind::NoSpace},
    {"InternalError", ErrorKind::Internal},
};

ErrorKind kind_of_code(int code) {
  switch (code) {
    case 401:
    case 403:
      return ErrorKind::Forbidden;
    case 404:
      return ErrorKind::NotFound;
    case 408:
    case 504:
      return ErrorKind::Timeout;
    case 409:
      return ErrorKind::Conflict;
    case 410:
      return ErrorKind::Expired;
    case 429:
    case 502:
    case 503:
      return ErrorKind::Unavailable;
    case 507:
      return ErrorKind::NoSpace;
    default:
      return code >= 500 ? ErrorKind::Internal : ErrorKind::Invalid;
  }
}

std::string first_line(const std::string& text) { return text.substr(0, std::min<std::size_t>(text.find('\n'), 200)); }

}  // namespace

ErrorKind kind_of(int code, const std::string& reason) {
  for (const Reason& known : kReasons)
    if (reason == known.word) return known.kind;
  return kind_of_code(code);
}

Error error_of(int code, const std::string& body, const std::string& what) {
  const json status = json::parse(body, nullptr, false);
  if (status.is_object() && status.value("kind", json()) == "Status" && status.value("message", json()).is_string()) {
    const json reason = status.value("reason", json());
    const std::string message = status["message"];
    if (code == 401)
      return {ErrorKind::Forbidden, what + ": the server does not know these credentials (Unauthorized)"};
    return {kind_of(code, reason.is_string() ? reason.get<std::string>() : std::string()), message};
  }
  return {kind_of_code(code), fmt::format("{}: HTTP {}: {}", what, code, first_line(body))};
}

}  // namespace roadstead::kube
