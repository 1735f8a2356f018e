#pragma once

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

struct EngineAccess {
  std::string endpoint;                      ///< unix:///path, or ssh://user@host[:port][/path/to/docker.sock]
  std::optional<SecretRef> identity_ref;     ///< ssh: the private key.
  std::optional<SecretRef> known_hosts_ref;  ///< ssh: the known_hosts lines that the host's key must match.
};

struct DataAccess {
  std::string address;               ///< Name or address that other hosts' movers call.
  std::optional<std::string> ports;  ///< "10022-10031" or "10022": this host serves transfers.
};

struct Registry {
  std::string server;  ///< "ghcr.io"
  std::string username;
  SecretRef password_ref;
};

/// This host keeps backups.
struct RepositoryAccess {
  std::string volume;
};

struct HostSpec {
  EngineAccess engine;
  std::optional<DataAccess> data;
  std::vector<Registry> registries;
  std::optional<RepositoryAccess> repository;
  bool is_protected = false;  ///< "protected": a restore onto this host must be confirmed.
};

struct DataRoot {
  std::string path;
  std::optional<std::int64_t> free_bytes;
  std::optional<std::int64_t> total_bytes;
};

struct HostVolume {
  std::string name;
  std::string driver;
  std::optional<std::int64_t> size_bytes;
  std::vector<std::string> policies;  ///< "namespace/name" of those that back it up.
};

/// A restore's mark beside a volume that has not become a receipt.
struct UnfinishedRestore {
  std::string volume;
  std::string request;  ///< "namespace/name"
  std::string phase;
};

struct HostSummary {
  std::optional<std::string> free;       ///< "412.0 GiB of 1.8 TiB"
  std::optional<std::string> uncovered;  ///< "2 of 7" volumes
};

struct HostStatus {
  std::int64_t observed_generation = 0;
  std::vector<Condition> conditions;
  std::string engine_version;
  std::string api_version;  ///< The Engine API version agreed on, "1.41".
  std::string operating_system;
  std::string architecture;  ///< As the engine says it: "x86_64".
  std::string storage_driver;
  std::optional<std::int64_t> memory_bytes;
  std::optional<DataRoot> data_root;
  std::vector<HostVolume> volumes;
  std::vector<UnfinishedRestore> unfinished_restores;
  std::optional<Time> last_seen;
  std::optional<HostSummary> summary;
};

struct Host {
  ObjectMeta metadata;
  HostSpec spec;
  HostStatus status;
};

/// Sets `summary` from the numbers.
void refresh_summary(HostStatus& status);

template <>
struct Kind<Host> {
  static constexpr std::string_view kind = "Host";
  static constexpr std::string_view plural = "hosts";
  static constexpr Scope scope = Scope::Cluster;
};
template <>
Result<Host> from_json<Host>(const nlohmann::json& object);
template <>
nlohmann::json to_json<Host>(const Host& object);

}  // namespace roadstead::crds
