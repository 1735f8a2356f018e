#pragma once

#include <string>
#include <string_view>

#include "crds/barman_server.h"

namespace roadstead::reconcilers::barman_server {

/// "receive_wal_running" → "CheckReceiveWalRunning".
std::string condition_type(std::string_view check);

/// Checks about base backups: a server without one is ready to make the first.
bool is_about_backups(std::string_view check);

/// What to do about a failed check, as a clause: "run: docker exec …".
std::string advice(std::string_view check, const crds::BarmanServer& server, const std::string& container);

/// The grants that barman's two roles need, as SQL for production.
std::string grants(const crds::BarmanServer& server, std::int64_t postgres_version);

}  // namespace roadstead::reconcilers::barman_server
