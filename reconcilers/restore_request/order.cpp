#include "reconcilers/restore_request/order.h"

#include <algorithm>

#include "reconcilers/restore_request/record.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {

Claims claims_of(const crds::RestoreRequest& request) {
  Claims claims{request.spec.target.host_ref.name, {}, {}};
  for (const auto& item : request.spec.items) {
    claims.volumes.push_back(item.to.volume);
    if (item.from.barman)
      claims.barman_servers.push_back(request.metadata.ns + "/" + item.from.barman->server_ref.name);
  }
  return claims;
}

namespace {

bool share(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::any_of(a, [&](const std::string& one) { return std::ranges::find(b, one) != b.end(); });
}

/// The recover volume is free again after the last copy; the target's volumes only at the end.
bool still_needs_recover_volume(const crds::RestoreRequest& request) {
  return !crds::is_finished(request.status) && !std::ranges::all_of(request.spec.items, [&](const auto& item) {
    const bool in_place = strategy_of(request, item) == crds::RestoreStrategy::InPlace;
    return succeeded(request.status.steps, name_of({item.name, in_place ? step::kOverwrite : step::kCopy})) != nullptr;
  });
}

/// It has something of its own on its volumes, or is about to exchange them again.
bool has_begun(const crds::RestoreRequest& request) {
  return crds::is_finished(request.status) ? rolling_back(request.status) : touched(request.status);
}

bool is_over(const crds::RestoreRequest& request) {
  return crds::is_finished(request.status) && !rolling_back(request.status);
}

bool collide(const crds::RestoreRequest& request, const crds::RestoreRequest& other) {
  const Claims mine = claims_of(request), theirs = claims_of(other);
  if (mine.target_host == theirs.target_host && share(mine.volumes, theirs.volumes)) return true;
  return still_needs_recover_volume(request) && still_needs_recover_volume(other) &&
         share(mine.barman_servers, theirs.barman_servers);
}

bool created_before(const crds::RestoreRequest& a, const crds::RestoreRequest& b) {
  const auto key = [](const crds::RestoreRequest& r) {
    return std::tuple(r.metadata.creation_timestamp.value_or(Time{}), r.metadata.ns, r.metadata.name);
  };
  return key(a) < key(b);
}

bool same_object(const crds::RestoreRequest& a, const crds::RestoreRequest& b) {
  return a.metadata.ns == b.metadata.ns && a.metadata.name == b.metadata.name;
}

}  // namespace

const crds::RestoreRequest* first_before(const crds::RestoreRequest& request,
                                         const std::vector<crds::RestoreRequest>& all) {
  for (const auto& other : all) {
    if (same_object(other, request) || is_over(other) || other.spec.dry_run || !collide(request, other)) continue;
    // Of two that have begun, as after a lost store, the older one goes on: never do both wait.
    const bool theirs = has_begun(other), mine = has_begun(request);
    // A rollback exchanges what is there already: it waits for nobody who has not begun.
    if (crds::is_finished(request.status) && !theirs) continue;
    if (theirs != mine ? theirs : created_before(other, request)) return &other;
  }
  return nullptr;
}

namespace {

/// True if `holds` is true of a pin to this backup of another request that is not finished.
template <class Holds>
bool any_other_pin(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                   const std::string& server, const std::string& backup_root, Holds holds) {
  return std::ranges::any_of(all, [&](const crds::RestoreRequest& other) {
    if (same_object(other, request) || crds::is_finished(other.status) || other.metadata.ns != request.metadata.ns)
      return false;
    return std::ranges::any_of(other.status.pinned, [&](const crds::PinnedSource& pinned) {
      const auto item = std::ranges::find(other.spec.items, pinned.item, &crds::RestoreItem::name);
      return item != other.spec.items.end() && item->from.barman && item->from.barman->server_ref.name == server &&
             pinned.backup_root_id == backup_root && holds(pinned);
    });
  });
}

}  // namespace

bool needed_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                       const std::string& server, const std::string& backup_root) {
  return any_other_pin(request, all, server, backup_root, [](const crds::PinnedSource&) { return true; });
}

bool kept_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                     const std::string& server, const std::string& backup_root) {
  return any_other_pin(request, all, server, backup_root,
                       [](const crds::PinnedSource& pinned) { return pinned.keep_set; });
}

}  // namespace roadstead::reconcilers::restore
