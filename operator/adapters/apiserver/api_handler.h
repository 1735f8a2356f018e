#pragma once

#include <functional>
#include <string>

#include "operator/adapters/apiserver/authenticator.h"
#include "operator/adapters/apiserver/http_message.h"
#include "operator/adapters/apiserver/route.h"
#include "operator/adapters/apiserver/tables.h"
#include "operator/base/clock.h"
#include "operator/ports/resource_client.h"

namespace roadstead::apiserver {

struct ApiHandlerParts {
  ResourceClient& store;
  const ResourceTypes& types;
  Crds crds;  ///< For the columns of tables.
  const Clock& clock;
  Authenticator authenticator;
  std::string version;
  std::function<std::string()> not_ready;  ///< Empty answer: ready.
};

/// The API without its transport: requests to the store and back, in the forms and words of a Kubernetes API server.
class ApiHandler final : public Handler {
 public:
  explicit ApiHandler(ApiHandlerParts parts) : parts_(std::move(parts)) {}
  std::optional<Response> refuse(const Request& head) override;
  Response handle(const Request& request) override;
  Response broken(int status, const std::string& why) override;

 private:
  [[nodiscard]] Response dispatch(const Request& request);
  [[nodiscard]] std::optional<Response> fixed_page(const Request& request) const;
  [[nodiscard]] Response collection(const Request& request, const Route& route);
  [[nodiscard]] Response item(const Request& request, const Route& route);

  [[nodiscard]] Response get(const Request& request, const Route& route);
  [[nodiscard]] Response list(const Request& request, const Route& route);
  [[nodiscard]] Response watch(const Request& request, const Route& route);
  [[nodiscard]] Response create(const Request& request, const Route& route);
  [[nodiscard]] Response put(const Request& request, const Route& route);
  [[nodiscard]] Response patch(const Request& request, const Route& route);
  [[nodiscard]] Response merge_patch(const Request& request, const Route& route);
  [[nodiscard]] Response apply(const Request& request, const Route& route);
  [[nodiscard]] Response remove(const Request& request, const Route& route);
  [[nodiscard]] Response record_event(const Request& request, const Route& route);

  ApiHandlerParts parts_;
};

}  // namespace roadstead::apiserver
