#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/adapters/kube/kube_config.h"
#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::kube {

struct HttpsRequest {
  std::string method = "GET";
  std::string target;  ///< Encoded path and query, "/apis/…?watch=true".
  std::string accept = "application/json";
  std::string content_type = "application/json";
  std::string body;  ///< Empty: none.
};

struct HttpsReply {
  int code = 0;
  std::string body;
};

/// A body read line by line while it arrives, by a thread of its own.
class LineReader {
 public:
  virtual ~LineReader() = default;
  /// Nothing: none came within `wait`, or stop was asked for. Errors: Unavailable (the stream ended or broke).
  virtual Result<std::optional<std::string>> next(Millis wait, std::stop_token stop) = 0;
};

/// HTTPS requests to one server with the credentials of a kubeconfig; the only place that knows cpprest.
/// Errors of all: Unavailable (no connection, broken, TLS refused), Timeout.
class HttpsClient {
 public:
  /// `timeout` is the longest silence, of an answer as of a stream.
  /// Errors: Invalid (server is not an https:// address).
  [[nodiscard]] static Result<std::unique_ptr<HttpsClient>> make(KubeConfig config, Millis timeout);
  ~HttpsClient();

  Result<HttpsReply> send(const HttpsRequest& request);
  /// A reply other than 200 is returned as the error it stands for.
  Result<std::unique_ptr<LineReader>> open_lines(const HttpsRequest& request);
  [[nodiscard]] const std::string& server() const;

 private:
  struct Impl;
  explicit HttpsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace roadstead::kube
