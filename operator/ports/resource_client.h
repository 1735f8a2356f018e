#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/names.h"
#include "operator/base/result.h"

namespace roadstead {

struct ListOptions {
  std::string ns;              ///< Empty: all namespaces.
  std::string label_selector;  ///< Kubernetes syntax; empty: all.
  std::string field_selector;  ///< metadata.name=…, metadata.namespace=…; for events also involvedObject.*.
};

struct ResourceList {
  std::vector<nlohmann::json> items;  ///< Sorted by namespace and name; each with apiVersion and kind.
  std::string resource_version;       ///< A watch from here misses nothing.
};

struct WriteOptions {
  std::string field_manager = "roadstead";
  bool dry_run = false;  ///< Everything but the storing.
};

enum class Applied { Created, Configured, Unchanged };

struct ApplyResult {
  nlohmann::json object;
  Applied what;
};

struct Preconditions {
  std::string uid, resource_version;  ///< Empty: not asked for.
};

struct WatchEvent {
  enum class Type { Added, Modified, Deleted, Bookmark };
  Type type = Type::Added;
  nlohmann::json object;  ///< Deleted: the last state, with the deletion's resourceVersion.
};

/// Follows one kind. Not shared between threads. Its destructor ends it.
class Watch {
 public:
  virtual ~Watch() = default;
  /// The next event; nothing if none came within `wait` or stop was asked for.
  /// Errors: Expired (list again), Unavailable (the stream broke: watch again from the last version seen).
  virtual Result<std::optional<WatchEvent>> next(Millis wait, std::stop_token stop) = 0;
};

struct EventRecord {
  ObjectKey about;
  std::string about_uid;
  bool warning = false;  ///< type Warning instead of Normal
  std::string reason;    ///< CamelCase
  std::string message;
  std::string component = "roadstead";
};

/// The resources, as a Kubernetes API keeps them: optimistic concurrency by metadata.resourceVersion, generation,
/// finalizers, status apart from spec. Implemented by the embedded store and by an HTTPS client; both pass one contract
/// test. Objects are JSON texts' values with apiVersion, kind, metadata, spec, status. Errors: NotFound, AlreadyExists,
/// Conflict (stale resourceVersion, failed precondition), Invalid (validation: names every field), Unavailable,
/// Timeout, Cancelled, Forbidden.
class ResourceClient {
 public:
  virtual ~ResourceClient() = default;
  virtual Result<nlohmann::json> get(const ObjectKey& key) = 0;
  virtual Result<ResourceList> list(const std::string& kind, const ListOptions& options) = 0;
  virtual Result<nlohmann::json> create(const nlohmann::json& object, const WriteOptions& options) = 0;
  /// Replaces everything but status; needs metadata.resourceVersion. A write that changes nothing keeps the version.
  virtual Result<nlohmann::json> update(const nlohmann::json& object, const WriteOptions& options) = 0;
  /// Replaces status only; needs metadata.resourceVersion.
  virtual Result<nlohmann::json> update_status(const nlohmann::json& object, const WriteOptions& options) = 0;
  /// Creates, or replaces spec, labels and annotations of, the named object.
  virtual Result<ApplyResult> apply(const nlohmann::json& object, const WriteOptions& options) = 0;
  /// With finalizers left: sets deletionTimestamp and keeps it. Returns the object as it then is.
  virtual Result<nlohmann::json> remove(const ObjectKey& key, const Preconditions& preconditions) = 0;
  /// All changes after `resource_version`; empty: current objects first, as Added.
  virtual Result<std::unique_ptr<Watch>> watch(const std::string& kind, const ListOptions& options,
                                               const std::string& resource_version) = 0;
  /// Records an event; equal ones (object, reason, message) are counted, not repeated. Never fails the caller's work:
  /// what went wrong is only returned to be logged.
  virtual Result<void> record(const EventRecord& event) = 0;
};

}  // namespace roadstead
