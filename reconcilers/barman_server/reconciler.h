#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Streams a database's WAL to another host with barman: sets it up, watches it, repairs it, tells how it stands, and
/// keeps the Backup objects what the catalogue says. On deletion the slot on production is dropped; the data stays.
/// `context` outlives it.
std::unique_ptr<Reconciler> make_barman_server_reconciler(Context& context);

/// The BarmanServers that a change of `object` concerns: a BarmanServer itself, a Backup's server.
std::vector<ObjectKey> barman_server_wakes(const nlohmann::json& object);

/// Keeps a BarmanServer until its slot on production is dropped.
inline constexpr std::string_view kBarmanServerFinalizer = "roadstead.dev/barman-server";
/// "true": the BarmanServer goes without its slot being dropped, for a production that never comes back.
inline constexpr std::string_view kAbandonSlotAnnotation = "roadstead.dev/abandon-slot";

}  // namespace roadstead::reconcilers
