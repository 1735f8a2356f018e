#pragma once

#include <memory>

#include "operator/ports/http_hook.h"

namespace roadstead::http {

/// By cpprest, with the system's certificate authorities.
std::unique_ptr<HttpHooks> make_http_hooks();

}  // namespace roadstead::http
