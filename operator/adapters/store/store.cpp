#include "operator/adapters/store/store.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "operator/adapters/store/store_watch.h"
#include "operator/base/log.h"
#include "operator/base/rfc3339.h"

namespace roadstead::store {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBatch = 256;
constexpr Millis kMaintenance{60'000};
constexpr int kNameTries = 8;

constexpr std::string_view kEventKind = "Event";

Result<std::uint64_t> parse_version(const std::string& text) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc{} || end != text.data() + text.size())
    return fail(ErrorKind::Invalid, "invalid resource version \"{}\": it must be a number", text);
  return version;
}

Result<Filter> filter_of(const ResourceType& type, const ListOptions& options) {
  auto labels = LabelSelector::parse(options.label_selector);
  if (!labels) return tl::unexpected(labels.error());
  auto fields = FieldSelector::parse(options.field_selector, type.kind);
  if (!fields) return tl::unexpected(fields.error());
  return Filter{type.kind, type.namespaced ? options.ns : "", std::move(*labels), std::move(*fields)};
}

/// What an older schema let through is put right once, when it is read.
ObjectPtr pruned(const ObjectPtr& object, Admission& admission) {
  json before = json::parse(object->bytes);
  json after = admission.prune(before);
  return after == before ? object : stored(object->key, object->version, after);
}

bool is_older(const StoredObject& event, Time than) {
  const auto at = parse_rfc3339(json::parse(event.bytes).value("lastTimestamp", std::string()));
  return !at || *at < than;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(DataDirectory directory, const ResourceTypes& types, Admission& admission,
                                           const Clock& clock, StoreOptions options) {
  auto journal = Journal::open(directory.path() / "roadstead.db", clock.now());
  if (!journal) return tl::unexpected(journal.error());
  auto contents = journal->load();
  if (!contents) return tl::unexpected(contents.error());
  return std::unique_ptr<Store>(new Store(std::move(directory), std::move(*journal), std::move(*contents), types,
                                          admission, clock, std::move(options)));
}

Store::Store(DataDirectory directory, Journal journal, Journal::Contents contents, const ResourceTypes& types,
             Admission& admission, const Clock& clock, StoreOptions options)
    : directory_(std::move(directory)),
      types_(types),
      clock_(clock),
      options_(std::move(options)),
      rules_(types, admission, clock, options_.chance),
      log_(std::make_shared<ChangeLog>(options_.changes, contents.version, contents.floor)),
      version_(contents.version),
      journal_(std::move(journal)) {
  for (ObjectPtr& object : contents.objects) {
    const ResourceType* type = types_.by_kind(object->key.kind);
    if (!type) {
      log_warning("an object of an unknown kind stays in the store unseen", {{"object", to_string(object->key)}});
      continue;
    }
    if (object->key.kind == kEventKind) events_.emplace(object->version, object->key);
    index_[object->key] = type->group.empty() ? object : pruned(object, admission);
  }
  // A change that left the object as it is now shares its text.
  for (Change& change : contents.changes)
    if (const auto now = index_.find(change.object->key);
        now != index_.end() && now->second->version == change.object->version)
      change.object = now->second;
  log_->append(std::move(contents.changes), contents.version, clock_.now());
  writer_ = std::jthread([this](const std::stop_token& stop) { write_loop(stop); });
}

Store::~Store() {
  {
    std::lock_guard lock(queue_mutex_);
    stopped_ = true;
  }
  writer_.request_stop();
  writer_.join();
  log_->close();
}

// ---- reading

ObjectPtr Store::find(const ObjectKey& key) const {
  std::shared_lock lock(index_mutex_);
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : found->second;
}

ObjectPtr Store::find(const Batch& batch, const ObjectKey& key) const {
  const auto changed = batch.overlay.find(key);
  return changed == batch.overlay.end() ? find(key) : changed->second;
}

std::vector<ObjectPtr> Store::snapshot(const std::string& kind, std::uint64_t& version) const {
  std::vector<ObjectPtr> objects;
  std::shared_lock lock(index_mutex_);
  version = version_;
  for (auto it = index_.lower_bound({kind, "", ""}); it != index_.end() && it->first.kind == kind; ++it)
    objects.push_back(it->second);
  return objects;
}

Result<json> Store::get(const ObjectKey& key) {
  const auto at = rules_.normalized(key);
  if (!at) return tl::unexpected(at.error());
  const ObjectPtr object = find(*at);
  if (!object) return tl::unexpected(rules_.not_found(*at));
  return json::parse(object->bytes);
}

Result<ResourceList> Store::list(const std::string& kind, const ListOptions& options) {
  if (auto known = rules_.normalized({kind, "", ""}); !known) return tl::unexpected(known.error());
  const auto filter = filter_of(*types_.by_kind(kind), options);
  if (!filter) return tl::unexpected(filter.error());
  ResourceList list;
  std::uint64_t version = 0;
  for (const ObjectPtr& object : snapshot(kind, version))
    if (filter->wants(*object, object->labels)) list.items.push_back(json::parse(object->bytes));
  list.resource_version = std::to_string(version);
  return list;
}

Result<std::unique_ptr<Watch>> Store::watch(const std::string& kind, const ListOptions& options,
                                            const std::string& resource_version) {
  if (auto known = rules_.normalized({kind, "", ""}); !known) return tl::unexpected(known.error());
  auto filter = filter_of(*types_.by_kind(kind), options);
  if (!filter) return tl::unexpected(filter.error());
  StoreWatch::Place place;
  if (resource_version.empty() || resource_version == "0") {
    for (ObjectPtr& object : snapshot(kind, place.cursor))
      if (filter->wants(*object, object->labels)) place.initial.push_back(std::move(object));
  } else {
    const auto version = parse_version(resource_version);
    if (!version) return tl::unexpected(version.error());
    place.cursor = *version;
  }
  return std::make_unique<StoreWatch>(log_, std::move(*filter), types_.by_kind(kind)->api_version(), std::move(place),
                                      clock_, options_.bookmark_interval);
}

// ---- writing: what the callers do

Result<json> Store::create(const json& object, const WriteOptions& options) {
  const auto create_as = [&](const json& named) -> Result<json> {
    const auto key = rules_.key_of(named);
    if (!key) return tl::unexpected(key.error());
    auto done = submit(
        *key, [&](const json* live) { return rules_.create(named, live, options.dry_run); }, options.dry_run);
    return done.map([](Outcome& outcome) { return std::move(outcome.object); });
  };
  const auto metadata = object.is_object() ? object.find("metadata") : object.end();
  const bool generate = metadata != object.end() && metadata->is_object() && metadata->contains("generateName") &&
                        metadata->at("generateName").is_string() && metadata->value("name", json()).empty();
  if (!generate) return create_as(object);
  json named = object;
  for (int tries = 1;; ++tries) {
    named["metadata"]["name"] = rules_.generated_name(metadata->at("generateName").get<std::string>());
    auto done = create_as(named);
    if (done || done.error().kind != ErrorKind::AlreadyExists || tries == kNameTries) return done;
  }
}

Result<json> Store::update(const json& object, const WriteOptions& options) {
  const auto key = rules_.key_of(object);
  if (!key) return tl::unexpected(key.error());
  auto done = submit(
      *key, [&](const json* live) { return rules_.update(object, live, options.dry_run); }, options.dry_run);
  return done.map([](Outcome& outcome) { return std::move(outcome.object); });
}

Result<json> Store::update_status(const json& object, const WriteOptions& options) {
  const auto key = rules_.key_of(object);
  if (!key) return tl::unexpected(key.error());
  auto done = submit(
      *key, [&](const json* live) { return rules_.update_status(object, live, options.dry_run); }, options.dry_run);
  return done.map([](Outcome& outcome) { return std::move(outcome.object); });
}

Result<ApplyResult> Store::apply(const json& object, const WriteOptions& options) {
  const auto key = rules_.key_of(object);
  if (!key) return tl::unexpected(key.error());
  auto done = submit(
      *key, [&](const json* live) { return rules_.apply(object, live, options.dry_run); }, options.dry_run);
  return done.map([](Outcome& outcome) {
    const Applied what = outcome.what == Decision::What::Nothing ? Applied::Unchanged
                         : outcome.was_there                     ? Applied::Configured
                                                                 : Applied::Created;
    return ApplyResult{std::move(outcome.object), what};
  });
}

Result<json> Store::remove(const ObjectKey& key, const Preconditions& preconditions) {
  const auto at = rules_.normalized(key);
  if (!at) return tl::unexpected(at.error());
  auto done = submit(
      *at, [&](const json* live) { return rules_.remove(*at, preconditions, live); }, false);
  return done.map([](Outcome& outcome) { return std::move(outcome.object); });
}

Result<void> Store::record(const EventRecord& event) {
  EventRecord complete = event;
  if (const auto about = rules_.normalized(event.about)) complete.about = *about;
  if (const ObjectPtr about = complete.about_uid.empty() ? find(complete.about) : nullptr)
    complete.about_uid = json::parse(about->bytes).at("metadata").value("uid", std::string());
  const ObjectKey at = rules_.event_key(complete);
  const auto done = submit(
      at, [&](const json* live) -> Result<Decision> { return rules_.record(complete, at, live); }, false);
  if (!done) return within("record event " + event.reason + " of " + to_string(event.about), done.error());
  return {};
}

Result<Store::Outcome> Store::decide_only(const ObjectKey& key, const Decide& decide) const {
  const ObjectPtr object = find(key);
  const json live = object ? json::parse(object->bytes) : json();
  auto decision = decide(object ? &live : nullptr);
  if (!decision) return tl::unexpected(decision.error());
  return Outcome{decision->what, object != nullptr, std::move(decision->object)};
}

Result<Store::Outcome> Store::submit(const ObjectKey& key, const Decide& decide, bool dry_run) {
  if (dry_run) return decide_only(key, decide);
  std::future<Result<Outcome>> answer;
  {
    std::lock_guard lock(queue_mutex_);
    if (stopped_) return fail(ErrorKind::Unavailable, "the store has stopped");
    queue_.push_back({key, decide, {}});
    answer = queue_.back().answer.get_future();
  }
  queued_.notify_one();
  return answer.get();
}

// ---- writing: the one thread

void Store::write_loop(const std::stop_token& stop) {
  while (true) {
    std::deque<Request> requests;
    {
      std::unique_lock lock(queue_mutex_);
      queued_.wait_for(lock, stop, kMaintenance, [&] { return !queue_.empty(); });
      if (queue_.empty() && stop.stop_requested()) return;
      while (!queue_.empty() && requests.size() < kMaxBatch) {
        requests.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    write(std::move(requests));
  }
}

void Store::write(std::deque<Request> requests) {
  Batch batch{version_, {}, {}};
  std::vector<Result<Outcome>> outcomes;
  for (const Request& request : requests) {
    try {
      outcomes.push_back(put_into(batch, request.key, request.decide));
    } catch (const std::exception& broken) {
      outcomes.push_back(fail(ErrorKind::Internal, "write {}: {}", to_string(request.key), broken.what()));
    }
  }
  drop_old_events(batch);
  if (!batch.changes.empty()) {
    if (auto written = journal_.write(batch.changes, batch.version, log_->floor()); !written) {
      log_error("the store cannot write", {{"error", written.error().message}});
      // Also those who were told "no": it may have been because of a write that is now not there.
      for (auto& outcome : outcomes) outcome = tl::unexpected(written.error());
    } else {
      publish(std::move(batch));
    }
  }
  for (std::size_t i = 0; i < outcomes.size(); ++i) requests[i].answer.set_value(std::move(outcomes[i]));
}

Result<Store::Outcome> Store::put_into(Batch& batch, const ObjectKey& key, const Decide& decide) {
  const ObjectPtr before = find(batch, key);
  const json live = before ? json::parse(before->bytes) : json();
  auto decision = decide(before ? &live : nullptr);
  if (!decision) return tl::unexpected(decision.error());
  Outcome outcome{decision->what, before != nullptr, std::move(decision->object)};
  if (outcome.what == Decision::What::Nothing) return outcome;

  const std::uint64_t version = batch.version + 1;
  outcome.object["metadata"]["resourceVersion"] = std::to_string(version);
  const bool deleted = outcome.what == Decision::What::Delete;
  const ObjectPtr after = stored(key, version, outcome.object);
  const Change::Type type = deleted ? Change::Type::Deleted : before ? Change::Type::Modified : Change::Type::Added;
  batch.changes.push_back({type, after, before ? before->labels : Labels{}, clock_.now()});
  batch.overlay[key] = deleted ? nullptr : after;
  batch.version = version;
  return outcome;
}

void Store::drop_old_events(Batch& batch) {
  const auto is_event = [](const auto& changed) { return changed.first.kind == kEventKind; };
  const auto fresh = static_cast<std::size_t>(std::count_if(batch.overlay.begin(), batch.overlay.end(), is_event));
  std::size_t count = events_.size() + fresh;
  const Time limit = clock_.now() - options_.event_age;
  for (const auto& [version, key] : events_) {
    if (batch.overlay.contains(key)) {
      --count;  // written again just now: counted among the fresh ones
      continue;
    }
    const ObjectPtr event = find(key);
    if (!event || (count <= options_.max_events && !is_older(*event, limit))) break;
    --count;
    (void)put_into(batch, key, [](const json* live) -> Result<Decision> {
      return Decision{Decision::What::Delete, *live};
    });
  }
}

void Store::publish(Batch batch) {
  for (const Change& change : batch.changes) {
    const StoredObject& object = *change.object;
    if (object.key.kind != kEventKind) continue;
    if (const ObjectPtr before = find(object.key)) events_.erase({before->version, object.key});
  }
  for (const auto& [key, object] : batch.overlay)
    if (object && key.kind == kEventKind) events_.emplace(object->version, key);
  {
    std::unique_lock lock(index_mutex_);
    for (auto& [key, object] : batch.overlay) {
      if (object)
        index_[key] = std::move(object);
      else
        index_.erase(key);
    }
    version_ = batch.version;
  }
  log_->append(std::move(batch.changes), batch.version, clock_.now());
}

}  // namespace roadstead::store
