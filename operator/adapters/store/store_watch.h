#pragma once

#include <deque>
#include <memory>
#include <string>

#include "operator/adapters/store/change_log.h"
#include "operator/adapters/store/selectors.h"
#include "operator/ports/resource_client.h"

namespace roadstead::store {

/// Which objects of one kind a reader wants to see.
struct Filter {
  std::string kind;
  std::string ns;  ///< Empty: all.
  LabelSelector labels;
  FieldSelector fields;

  /// `has` are the labels to judge by: those of before or after a change.
  [[nodiscard]] bool wants(const StoredObject& object, const Labels& has) const;
};

/// Reads the change log through a filter, after the objects it began with.
class StoreWatch final : public Watch {
 public:
  struct Place {
    std::deque<ObjectPtr> initial;  ///< Told first, as Added.
    std::uint64_t cursor = 0;       ///< Then the changes after this version.
  };
  /// `clock` is asked for bookmarks and must outlive this.
  StoreWatch(std::shared_ptr<ChangeLog> log, Filter filter, std::string api_version, Place place, const Clock& clock,
             Millis bookmark_interval);

  Result<std::optional<WatchEvent>> next(Millis wait, std::stop_token stop) override;

 private:
  [[nodiscard]] std::optional<WatchEvent> seen_through_filter(const Change& change) const;
  std::optional<WatchEvent> bookmark();

  const std::shared_ptr<ChangeLog> log_;
  const Filter filter_;
  const std::string api_version_;
  Place place_;
  std::uint64_t told_;  // the version that the reader knows of
  const Clock& clock_;
  const Millis bookmark_interval_;
  Time last_told_;
};

}  // namespace roadstead::store
