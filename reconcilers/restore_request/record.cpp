#include "reconcilers/restore_request/record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::StepState;
using Json = nlohmann::json;

std::string_view step_part(const std::string& name) {
  const auto slash = name.rfind('/');
  return std::string_view(name).substr(slash == std::string::npos ? 0 : slash + 1);
}

/// A step of this name whose memory has this word, or that succeeded: its mover was about to be made, or more. One that
/// only waited has touched nothing.
bool may_have(const crds::Step& entry, std::string_view name, std::string_view word) {
  if (step_part(entry.name) != name) return false;
  return entry.state == StepState::Succeeded || memory_of(entry).contains(word);
}

bool may_have_overwritten(const crds::Step& entry) { return may_have(entry, step::kOverwrite, kOverwriting); }

Json result_json(const crds::RestoreRequestStatus& status, const std::string& name) {
  const crds::Step* entry = succeeded(status.steps, name);
  return entry == nullptr ? Json::object() : memory_of(*entry);
}

}  // namespace

std::string name_of(const StepRef& ref) {
  return ref.item.empty() ? std::string(ref.step) : ref.item + "/" + std::string(ref.step);
}

std::string spec_hash(const crds::RestoreRequest& request) {
  crds::RestoreRequest lasting = request;
  lasting.spec.cancel = false;
  lasting.spec.confirm.reset();
  Json spec = crds::to_json(lasting).at("spec");
  for (const char* field : {"suspend", "rollback", "keepPreviousSeconds"}) spec.erase(field);
  return sha256_hex(spec.dump()).substr(0, 16);
}

// ---- entries ------------------------------------------------------------------------------------------------------

const crds::PinnedSource* pinned_of(const crds::RestoreRequestStatus& status, const std::string& item) {
  const auto found = std::ranges::find(status.pinned, item, &crds::PinnedSource::item);
  return found == status.pinned.end() ? nullptr : &*found;
}

std::optional<std::string> result_text(const crds::RestoreRequestStatus& status, const std::string& step,
                                       const char* field) {
  const Json json = result_json(status, step);
  const auto found = json.find(field);
  if (found == json.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<std::uint64_t> result_number(const crds::RestoreRequestStatus& status, const std::string& step,
                                           const char* field) {
  const Json json = result_json(status, step);
  const auto found = json.find(field);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

bool result_flag(const crds::RestoreRequestStatus& status, const std::string& step, std::string_view field) {
  const Json json = result_json(status, step);
  const auto found = json.find(std::string(field));
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

// ---- what follows from them ----------------------------------------------------------------------------------------

crds::RestoreStrategy strategy_of(const crds::RestoreRequest& request, const crds::RestoreItem& item) {
  if (const auto* pinned = pinned_of(request.status, item.name)) return pinned->strategy;
  const auto probed = result_text(request.status, name_of({item.name, step::kProbe}), "strategy");
  const auto in_place = crds::EnumNames<crds::RestoreStrategy>::names[static_cast<int>(crds::RestoreStrategy::InPlace)];
  const bool asked = request.spec.strategy == crds::RestoreStrategy::InPlace;
  return (probed ? *probed == in_place : asked) ? crds::RestoreStrategy::InPlace : crds::RestoreStrategy::Staged;
}

bool is_in_place(const crds::RestoreRequest& request, const crds::RestoreItem& item) {
  return strategy_of(request, item) == crds::RestoreStrategy::InPlace;
}

bool may_have_exchanged(const crds::Step& entry) { return may_have(entry, step::kExchange, kExchanging); }

bool all_new(const crds::RestoreRequest& request) {
  return std::ranges::all_of(request.spec.items, [&](const crds::RestoreItem& item) {
    const auto step = is_in_place(request, item) ? step::kOverwrite : step::kExchange;
    return succeeded(request.status.steps, name_of({item.name, step})) != nullptr;
  });
}

bool forward_only(const crds::RestoreRequest& request) {
  return std::ranges::any_of(request.status.steps, may_have_overwritten) && !all_new(request);
}

bool touched(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(status.steps,
                             [](const crds::Step& entry) { return step_part(entry.name) == step::kMark; });
}

bool past_cancelling(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(
      status.steps, [](const crds::Step& entry) { return may_have_exchanged(entry) || may_have_overwritten(entry); });
}

bool is_ending(const crds::RestoreRequestStatus& status) { return status.receipt && !status.receipt->finished_at; }

bool rolling_back(const crds::RestoreRequestStatus& status) {
  return was_begun(status.steps, step::kRollbackStop) && succeeded(status.steps, step::kRollbackReceipt) == nullptr;
}

bool rolled_back(const crds::RestoreRequestStatus& status) { return crds::is_true(status.conditions, "RolledBack"); }

}  // namespace roadstead::reconcilers::restore
