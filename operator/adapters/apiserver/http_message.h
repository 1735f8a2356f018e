#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::apiserver {

/// Who asks, as the credentials of the connection or the request say.
struct User {
  std::string name;  ///< Empty: nobody known.
  std::vector<std::string> groups;
};

/// A request without its transport. Header names are in lower case.
struct Request {
  std::string method;
  std::string path;                                        ///< Percent-decoded, without the query.
  std::vector<std::pair<std::string, std::string>> query;  ///< Decoded, in order.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  User certificate;  ///< From the client certificate, if one was shown and verified.

  /// Empty where there is none; the first where there are several.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  [[nodiscard]] std::string_view parameter(std::string_view name) const;
  [[nodiscard]] bool has_parameter(std::string_view name) const;
};

/// Splits and decodes "/a%20b?x=1&y". Errors: Invalid (broken escapes, NUL, not starting with "/").
Result<void> set_target(Request& request, std::string_view target);

/// The lines of a watch. Used by one thread of its own; the destructor ends what it follows.
class LineStream {
 public:
  virtual ~LineStream() = default;
  struct Chunk {
    std::string text;   ///< Whole lines; empty when nothing came within `wait`.
    bool last = false;  ///< The stream ends after `text`.
  };
  virtual Chunk next(Millis wait, std::stop_token stop) = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::unique_ptr<LineStream> stream;  ///< Set: sent chunked in place of `body`.
};

/// What a server serves. Called from several threads at once; throws nothing.
class Handler {
 public:
  virtual ~Handler() = default;
  /// Decides on the header alone, before any body is read: a response here ends the request.
  virtual std::optional<Response> refuse(const Request& head) = 0;
  virtual Response handle(const Request& request) = 0;
  /// For a request that broke a limit or could not be read: the answer's body for this code.
  virtual Response broken(int status, const std::string& why) = 0;
};

}  // namespace roadstead::apiserver
