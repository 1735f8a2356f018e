#include "operator/adapters/apiserver/status.h"

#include <nlohmann/json.hpp>

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

struct Outcome {
  int code;
  const char* reason;
};

Outcome outcome_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::NotFound:
      return {404, "NotFound"};
    case ErrorKind::AlreadyExists:
      return {409, "AlreadyExists"};
    case ErrorKind::Conflict:
      return {409, "Conflict"};
    case ErrorKind::Invalid:
      return {422, "Invalid"};
    case ErrorKind::Forbidden:
      return {403, "Forbidden"};
    case ErrorKind::Unavailable:
    case ErrorKind::Cancelled:
      return {503, "ServiceUnavailable"};
    case ErrorKind::Timeout:
      return {504, "Timeout"};
    case ErrorKind::Expired:
      return {410, "Expired"};
    case ErrorKind::NoSpace:
      return {507, "InsufficientStorage"};
    case ErrorKind::Internal:
      return {500, "InternalError"};
  }
  return {500, "InternalError"};
}

}  // namespace

json failure_status(int code, const std::string& reason, const std::string& message, const About& about) {
  json status{{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", json::object()},
              {"status", "Failure"}, {"message", message}, {"reason", reason},
              {"code", code}};
  if (about.type != nullptr) {
    // The reference names the kind where the object is at fault, else the resource.
    json details{{"kind", reason == "Invalid" ? about.type->kind : about.type->plural}};
    if (!about.type->group.empty()) details["group"] = about.type->group;
    if (!about.name.empty()) details["name"] = about.name;
    status["details"] = std::move(details);
  }
  return status;
}

Response failure(int code, const std::string& reason, const std::string& message, const About& about) {
  return json_response(code, failure_status(code, reason, message, about));
}

Response bad_request(const std::string& message) { return failure(400, "BadRequest", message); }

json status_of(const Error& error, const About& about) {
  const Outcome outcome = outcome_of(error.kind);
  return failure_status(outcome.code, outcome.reason, error.message, about);
}

Response failure_of(const Error& error, const About& about) {
  return json_response(outcome_of(error.kind).code, status_of(error, about));
}

Response json_response(int code, const json& body) {
  Response response;
  response.status = code;
  // A name that is not UTF-8 must not turn an answer into a crash.
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  response.headers.emplace_back("Cache-Control", "no-cache, private");
  return response;
}

Response text_response(int code, std::string text) {
  Response response;
  response.status = code;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.body = std::move(text);
  return response;
}

Response page_not_found() { return text_response(404, "404 page not found\n"); }

}  // namespace roadstead::apiserver
