#pragma once

#include <string>

#include "operator/ports/resource_client.h"

namespace roadstead {

/// What a command line needs of an API beside the resources themselves: tables as the server renders them.
class ApiClient : public ResourceClient {
 public:
  /// A meta.k8s.io/v1 Table of the objects of `kind`; with `name` of that one. Each row's `object` carries metadata.
  /// Errors: as list(); NotFound for an unknown name.
  virtual Result<nlohmann::json> table(const std::string& kind, const std::string& name,
                                       const ListOptions& options) = 0;

  /// Like watch(), but each event's object is a Table of one row. Only the first carries columnDefinitions.
  virtual Result<std::unique_ptr<Watch>> watch_table(const std::string& kind, const ListOptions& options,
                                                     const std::string& resource_version) = 0;

  /// The answer of GET /version.
  virtual Result<nlohmann::json> server_version() = 0;

  /// "https://127.0.0.1:6440", for messages.
  [[nodiscard]] virtual std::string address() const = 0;
};

}  // namespace roadstead
