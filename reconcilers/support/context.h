#pragma once

#include <string>

#include "metrics/metrics.h"
#include "operator/base/clock.h"
#include "operator/ports/http_hook.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/secrets.h"
#include "reconcilers/support/hosts.h"
#include "reconcilers/support/images.h"

namespace roadstead::reconcilers {

/// What every reconciler works with; `main` keeps all of it alive longer than the controllers.
struct Context {
  ResourceClient& api;
  Hosts& hosts;
  Images& images;
  Secrets& secrets;
  Metrics& metrics;
  const Clock& clock;
  std::string installation;         ///< --installation; part of every name and label.
  std::string installation_secret;  ///< What the keys of transfers are derived from (HKDF); never leaves the process.
  HttpHooks* http = nullptr;        ///< For hooks that are requests; null: there are none.
};

}  // namespace roadstead::reconcilers
