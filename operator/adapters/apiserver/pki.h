#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::apiserver {

/// PEM texts of one installation: its own authority, the server's certificate, and the administrator's.
struct Pki {
  std::string ca_certificate;
  std::string server_certificate;
  std::string server_key;
  std::string admin_certificate;  ///< CN=admin, O=system:masters.
  std::string admin_key;
  bool changed = false;  ///< Something was made or renewed by this call.
};

/// Reads DATA/pki/{ca,server,admin}.{crt,key} and makes what is missing, unreadable, issued by another authority, not
/// for all of `names`, or valid for less than 30 days (a server or client certificate lives for one year, the authority
/// for ten). Keys are 0600. An authority about to run out is replaced with all that it signed. `names`: DNS names and
/// IP addresses of the server. Errors: Internal, NoSpace, Forbidden (files).
[[nodiscard]] Result<Pki> ensure_pki(const std::string& data_dir, const std::vector<std::string>& names, Time now);

/// localhost, 127.0.0.1, ::1, the host's name, and `address` unless it means all addresses.
[[nodiscard]] std::vector<std::string> server_names(const std::string& address);

/// Writes DATA/admin.kubeconfig, 0600, certificates inline, unless it says the same already.
[[nodiscard]] Result<void> write_admin_kubeconfig(const std::string& data_dir, const Pki& pki,
                                                  const std::string& server);

}  // namespace roadstead::apiserver
