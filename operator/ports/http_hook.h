#pragma once

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead {

/// One request that somebody's manifest asks for, to whatever address it names.
struct HttpHookRequest {
  std::string method = "POST";
  std::string url;                                           ///< http:// or https://
  std::vector<std::pair<std::string, std::string>> headers;  ///< Values may be secrets: they are in no error's message.
  std::string body;                                          ///< Empty: none.
  Millis time_limit{60'000};                                 ///< From the first byte out to the last byte in.
};

struct HttpHookAnswer {
  int status = 0;
  std::string body;  ///< Its first 4 KiB.
};

/// Outgoing HTTP of hooks. Redirects are not followed: they are an answer. Safe from several threads.
class HttpHooks {
 public:
  virtual ~HttpHooks() = default;
  /// Errors: Invalid (the URL or a header cannot be used), Unavailable (not connected, TLS refused, broken), Timeout,
  /// Cancelled.
  virtual Result<HttpHookAnswer> send(const HttpHookRequest& request, std::stop_token stop) = 0;
};

}  // namespace roadstead
