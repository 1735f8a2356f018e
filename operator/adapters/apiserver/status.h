#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "operator/adapters/apiserver/http_message.h"
#include "operator/ports/resource_type.h"

namespace roadstead::apiserver {

/// What a failure was about; null and empty where it was about none.
struct About {
  const ResourceType* type = nullptr;
  std::string name;
};

/// A meta/v1 Status: `reason` and `message` with the HTTP code.
[[nodiscard]] nlohmann::json failure_status(int code, const std::string& reason, const std::string& message,
                                            const About& about = {});
[[nodiscard]] Response failure(int code, const std::string& reason, const std::string& message,
                               const About& about = {});
[[nodiscard]] Response bad_request(const std::string& message);

/// The store's error, whose texts are a Kubernetes API's already, as a Status.
[[nodiscard]] nlohmann::json status_of(const Error& error, const About& about);
[[nodiscard]] Response failure_of(const Error& error, const About& about);

[[nodiscard]] Response json_response(int code, const nlohmann::json& body);
[[nodiscard]] Response text_response(int code, std::string text);

/// "404 page not found", as plain text.
[[nodiscard]] Response page_not_found();

}  // namespace roadstead::apiserver
