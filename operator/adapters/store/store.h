#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <thread>

#include "operator/adapters/store/admission.h"
#include "operator/adapters/store/change_log.h"
#include "operator/adapters/store/data_directory.h"
#include "operator/adapters/store/journal.h"
#include "operator/adapters/store/rules.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/resource_type.h"

namespace roadstead::store {

struct StoreOptions {
  ChangeLimits changes;
  std::size_t max_events = 2'000;
  Millis event_age = std::chrono::hours{1};
  Millis bookmark_interval = std::chrono::minutes{1};  ///< A quiet watch says how far it is that often.
  Chance chance = system_chance();
};

/// The embedded store: DATA/roadstead.db and an index of all objects in memory. A write that was answered survives a
/// kill and a power loss. All writes go through one thread: writers queue up, the thread takes all that wait into one
/// transaction, watchers see it after the commit, and only then the writers are answered. Reads never wait for a disk.
/// Safe from any thread.
class Store final : public ResourceClient {
 public:
  /// `types`, `admission` and `clock` must outlive this. Objects of kinds that `types` does not know are kept but not
  /// shown. Errors: as Journal::open.
  static Result<std::unique_ptr<Store>> open(DataDirectory directory, const ResourceTypes& types, Admission& admission,
                                             const Clock& clock, StoreOptions options = {});
  /// Ends the watches; what was queued is still written.
  ~Store() override;

  Result<nlohmann::json> get(const ObjectKey& key) override;
  Result<ResourceList> list(const std::string& kind, const ListOptions& options) override;
  Result<nlohmann::json> create(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update_status(const nlohmann::json& object, const WriteOptions& options) override;
  Result<ApplyResult> apply(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> remove(const ObjectKey& key, const Preconditions& preconditions) override;
  /// The watch may outlive the store; it then ends with Unavailable.
  Result<std::unique_ptr<Watch>> watch(const std::string& kind, const ListOptions& options,
                                       const std::string& resource_version) override;
  Result<void> record(const EventRecord& event) override;

 private:
  using Decide = std::function<Result<Decision>(const nlohmann::json* live)>;
  using Objects = std::map<ObjectKey, ObjectPtr>;

  struct Outcome {
    Decision::What what = Decision::What::Nothing;
    bool was_there = false;
    nlohmann::json object;
  };
  struct Request {
    ObjectKey key;
    Decide decide;
    std::promise<Result<Outcome>> answer;
  };
  /// One transaction in the making: what it has changed so far lies over the index.
  struct Batch {
    std::uint64_t version = 0;
    std::vector<Change> changes;
    Objects overlay;  // null: deleted
  };

  Store(DataDirectory directory, Journal journal, Journal::Contents contents, const ResourceTypes& types,
        Admission& admission, const Clock& clock, StoreOptions options);

  /// Queues and waits; with `dry_run` only decides.
  Result<Outcome> submit(const ObjectKey& key, const Decide& decide, bool dry_run);
  Result<Outcome> decide_only(const ObjectKey& key, const Decide& decide) const;

  void write_loop(const std::stop_token& stop);
  void write(std::deque<Request> requests);
  Result<Outcome> put_into(Batch& batch, const ObjectKey& key, const Decide& decide);
  void drop_old_events(Batch& batch);
  void publish(Batch batch);

  [[nodiscard]] ObjectPtr find(const ObjectKey& key) const;
  [[nodiscard]] ObjectPtr find(const Batch& batch, const ObjectKey& key) const;
  /// All of a kind, with the version of which this is the picture.
  std::vector<ObjectPtr> snapshot(const std::string& kind, std::uint64_t& version) const;

  const DataDirectory directory_;
  const ResourceTypes& types_;
  const Clock& clock_;
  const StoreOptions options_;
  const Rules rules_;
  const std::shared_ptr<ChangeLog> log_;  // shared with watches

  mutable std::shared_mutex index_mutex_;  // guards index_ and version_
  Objects index_;
  std::uint64_t version_;

  // Of the writing thread alone.
  Journal journal_;
  std::set<std::pair<std::uint64_t, ObjectKey>> events_;  // by the version of their last write

  std::mutex queue_mutex_;  // guards queue_ and stopped_
  std::condition_variable_any queued_;
  std::deque<Request> queue_;
  bool stopped_ = false;

  std::jthread writer_;  // last, so that it joins first
};

}  // namespace roadstead::store
