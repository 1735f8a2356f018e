#include "reconcilers/barman_server/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "reconcilers/support/barman.h"

namespace roadstead::reconcilers::barman_server {

std::string condition_type(std::string_view check) {
  std::string type = "Check";
  bool upper = true;
  for (const char c : check) {
    if (c == '_' || c == ' ' || c == '-') {
      upper = true;
    } else {
      type += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
      upper = false;
    }
  }
  return type;
}

bool is_about_backups(std::string_view check) {
  constexpr std::array<std::string_view, 4> kNames = {"failed_backups", "minimum_redundancy_requirements",
                                                      "backup_maximum_age", "backup_minimum_size"};
  return std::find(kNames.begin(), kNames.end(), check) != kNames.end();
}

std::string grants(const crds::BarmanServer& server, std::int64_t postgres_version) {
  const bool new_names = postgres_version == 0 || postgres_version >= 150000;
  const std::string& user = server.spec.source.backup_user.name;
  return fmt::format(
      "GRANT EXECUTE ON FUNCTION {}, pg_switch_wal(), pg_create_restore_point(text) TO {}; "
      "GRANT pg_read_all_settings, pg_read_all_stats TO {};{}",
      new_names ? "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
                : "pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)",
      user, user, new_names ? fmt::format(" GRANT pg_checkpoint TO {};", user) : std::string());
}

std::string advice(std::string_view check, const crds::BarmanServer& server, const std::string& container) {
  const std::string& name = server.metadata.name;
  if (check == "superuser_or_standard_user_with_backup_privileges")
    return fmt::format("on production, in database {}, run: {}", server.spec.source.database, grants(server, 0));
  if (check == "wal_level") return "on production run: ALTER SYSTEM SET wal_level = replica; and restart it";
  if (check == "systemid_coherence")
    return "production is another database cluster than the one these backups are of: give the BarmanServer a new "
           "name, or an empty data volume";
  if (check == "archiver_errors")
    return fmt::format("look at the files there, then run: docker exec -u 999:999 {} sh -c 'rm {}/errors/*'", container,
                       server_directory(name));
  if (check == "postgresql_streaming" || check == "pg_basebackup_compatible" || check == "pg_receivexlog_compatible")
    return fmt::format("see password, pg_hba.conf and max_wal_senders of production for role {}",
                       server.spec.source.streaming_user.name);
  return fmt::format("see: docker exec -u 999:999 {} barman check {}", container, name);
}

}  // namespace roadstead::reconcilers::barman_server
