#pragma once

#include <string>

#include "operator/base/result.h"

namespace roadstead::kube {

/// A refused request as an error: by the Status' reason, else by the HTTP code. `what` ("get https://…/hosts/uat") only
/// stands in the message where the answer is no Status.
[[nodiscard]] Error error_of(int code, const std::string& body, const std::string& what);

/// The same for a Status that came as a watch's last line.
[[nodiscard]] ErrorKind kind_of(int code, const std::string& reason);

}  // namespace roadstead::kube
