#include "reconcilers/restore_request/mark.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "mover/contract/job.h"
#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/take.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 6> kStates = {"Preparing",   "Stopping",    "Overwriting",
                                                     "Overwritten", "RollingBack", mover::kReceiptState};

std::string text_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

/// Pinned sources and ledger have one JSON form: that of the status. An otherwise empty request carries them.
Json status_part(const Mark& mark) {
  crds::RestoreRequest carrier;
  if (mark.pinned) carrier.status.pinned = {*mark.pinned};
  carrier.status.ledger = mark.ledger;
  carrier.status.receipt = mark.receipt;
  return crds::to_json(carrier).at("status");
}

Result<crds::RestoreRequestStatus> read_status_part(const Json& status) {
  crds::RestoreRequest carrier;
  carrier.metadata.name = "mark";
  carrier.metadata.ns = "mark";
  carrier.spec.target.host_ref.name = "mark";
  Json object = crds::to_json(carrier);
  object["status"] = status;
  return crds::from_json<crds::RestoreRequest>(object).map(
      [](crds::RestoreRequest read) { return std::move(read.status); });
}

}  // namespace

std::string_view word_of(MarkState state) { return kStates[static_cast<std::size_t>(state)]; }

MarkState state_of(const crds::RestoreRequest& request, const crds::RestoreItem& item) {
  if (rolling_back(request.status)) return MarkState::RollingBack;
  const std::string overwrite = name_of({item.name, step::kOverwrite});
  MarkState state = MarkState::Stopping;
  for (const auto& entry : request.status.steps) {
    if (entry.name != overwrite) continue;
    if (entry.state == crds::StepState::Succeeded) return MarkState::Overwritten;
    const Json memory = Json::parse(entry.result, nullptr, false);
    if (memory.is_object() && memory.contains(kOverwriting)) state = MarkState::Overwriting;
    if (memory.is_object() && memory.contains(kOverwritten)) return MarkState::Overwritten;
  }
  return state;
}

std::string to_json(const Mark& mark) {
  Json json{{"kind", "RestoreRequest"},   {"installation", mark.installation},
            {"namespace", mark.ns},       {"name", mark.name},
            {"item", mark.item},          {"volume", mark.volume},
            {"specHash", mark.spec_hash}, {"state", word_of(mark.state)},
            {"status", status_part(mark)}};
  if (mark.old_inode != 0) json["oldInode"] = mark.old_inode;
  if (mark.new_inode != 0) json["newInode"] = mark.new_inode;
  if (!mark.reason.empty()) json["reason"] = mark.reason;
  if (!mark.message.empty()) json["message"] = mark.message;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Mark> parse_mark(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorKind::Invalid, "the mark is no JSON object");
  Mark mark;
  const auto state = std::ranges::find(kStates, text_at(json, "state"));
  if (state == kStates.end())
    return fail(ErrorKind::Invalid, "the mark's state \"{}\" is unknown", text_at(json, "state"));
  mark.state = static_cast<MarkState>(state - kStates.begin());
  mark.installation = text_at(json, "installation");
  mark.ns = text_at(json, "namespace");
  mark.name = text_at(json, "name");
  mark.item = text_at(json, "item");
  mark.volume = text_at(json, "volume");
  mark.spec_hash = text_at(json, "specHash");
  mark.old_inode = number_at(json, "oldInode");
  mark.new_inode = number_at(json, "newInode");
  mark.reason = text_at(json, "reason");
  mark.message = text_at(json, "message");
  auto status = read_status_part(json.value("status", Json::object()));
  if (!status) return tl::unexpected(status.error());
  if (!status->pinned.empty()) mark.pinned = status->pinned.front();
  mark.ledger = std::move(status->ledger);
  mark.receipt = std::move(status->receipt);
  return mark;
}

Mark mark_of(const crds::RestoreRequest& request, const crds::RestoreItem& item, const std::string& installation,
             MarkState state) {
  Mark mark;
  mark.installation = installation;
  mark.ns = request.metadata.ns;
  mark.name = request.metadata.name;
  mark.item = item.name;
  mark.volume = item.to.volume;
  mark.spec_hash = spec_hash(request);
  mark.state = state;
  if (const auto* pinned = pinned_of(request.status, item.name)) mark.pinned = *pinned;
  mark.ledger = request.status.ledger;
  if (state == MarkState::RollingBack) mark.receipt = request.status.receipt;
  const auto summary = std::ranges::find(request.status.marks, item.name, &crds::MarkSummary::item);
  if (summary != request.status.marks.end()) {
    mark.old_inode = static_cast<std::uint64_t>(summary->old_inode.value_or(0));
    mark.new_inode = static_cast<std::uint64_t>(summary->new_inode.value_or(0));
  }
  return mark;
}

namespace {

void add_past(crds::RestoreRequestStatus& status, const StepRef& ref, Json result, Time now) {
  result["recalled"] = true;
  crds::Step entry;
  entry.name = name_of(ref);
  entry.state = crds::StepState::Succeeded;
  entry.started_at = entry.finished_at = now;
  entry.message = "Known from the mark beside the volume.";
  entry.result = result.dump();
  status.steps.push_back(std::move(entry));
}

void put_end(crds::RestoreRequest& request, const char* type, bool holds, const std::string& reason,
             const std::string& message, Time now) {
  crds::set_condition(request.status.conditions,
                      {.type = type,
                       .status = holds ? crds::ConditionStatus::True : crds::ConditionStatus::False,
                       .reason = reason,
                       .message = message,
                       .last_transition_time = {},
                       .observed_generation = request.metadata.generation},
                      now);
}

/// What every mark tells, whatever came of it.
void copy_facts(crds::RestoreRequest& request, const std::vector<const FoundMark*>& marks) {
  auto& status = request.status;
  for (const FoundMark* found : marks) {
    if (found->mark.pinned) status.pinned.push_back(*found->mark.pinned);
    status.marks.push_back({found->item, found->mark.volume, "Recalled",
                            static_cast<std::int64_t>(found->mark.old_inode),
                            static_cast<std::int64_t>(found->mark.new_inode)});
  }
}

void copy_receipt(crds::RestoreRequest& request, const Mark& mark, Time now) {
  auto& status = request.status;
  status.receipt = mark.receipt.value_or(crds::Receipt{});
  if (!status.receipt->finished_at) status.receipt->finished_at = now;
  const bool rolled = status.receipt->result == "RolledBack";
  const bool good = status.receipt->result == "Succeeded" || rolled;
  const std::string message =
      fmt::format("This request ended as {} on {}{}{}; nothing was touched. To restore again, give it a new name.",
                  status.receipt->result, format_rfc3339(*status.receipt->finished_at),
                  mark.message.empty() ? "" : ": ", mark.message);
  put_end(request, "Complete", good, "AlreadyDone", message, now);
  put_end(request, "Failed", !good, "AlreadyDone", message, now);
  if (rolled) put_end(request, "RolledBack", true, "AlreadyDone", message, now);
  status.finished_at = status.receipt->finished_at;
}

/// The restore had ended, and a rollback was under way: it is gone on with.
void go_on_rolling_back(crds::RestoreRequest& request, const std::vector<const FoundMark*>& marks, Time now) {
  auto& status = request.status;
  const auto is_back = [](const FoundMark* one) {
    return one->mark.state == MarkState::Receipt ? one->mark.receipt && one->mark.receipt->result == "RolledBack"
                                                 : one->data_inode == one->mark.old_inode;
  };
  const auto under_way =
      std::ranges::find(marks, MarkState::RollingBack, [](const FoundMark* one) { return one->mark.state; });
  copy_receipt(request, (*under_way)->mark, now);
  for (const FoundMark* found : marks)
    if (found->mark.ledger.size() > status.ledger.size() && found->mark.state == MarkState::RollingBack)
      status.ledger = found->mark.ledger;
  add_past(status, {{}, step::kRollbackProbe}, Json::object(), now);
  // Where all of it was exchanged, applications may run on it again.
  const bool all_back = marks.size() == request.spec.items.size() && std::ranges::all_of(marks, is_back);
  if (!all_back) {
    begin(status, {{}, step::kRollbackStop}, now).result = Json{{"recalled", true}}.dump();
    return;
  }
  add_past(status, {{}, step::kRollbackStop}, Json::object(), now);
  for (const FoundMark* found : marks) add_past(status, {found->item, step::kRollback}, Json::object(), now);
}

bool is_in_place(const FoundMark& found) {
  return found.mark.pinned && found.mark.pinned->strategy == crds::RestoreStrategy::InPlace;
}

bool is_new(const FoundMark& found) {
  if (found.mark.new_inode == 0) return false;
  return is_in_place(found) ? found.mark.state != MarkState::Overwriting : found.data_inode == found.mark.new_inode;
}

void go_on_with(crds::RestoreRequest& request, const FoundMark& found, bool stopping, Time now) {
  auto& status = request.status;
  const auto item = std::ranges::find(request.spec.items, found.item, &crds::RestoreItem::name);
  const bool database = item != request.spec.items.end() && item->from.barman;
  const auto past = [&](std::string_view step, Json result = Json::object()) {
    add_past(status, {found.item, step}, std::move(result), now);
  };
  past(step::kMark);
  if (!stopping) return;
  const bool in_place = is_in_place(found), done = is_new(found);
  // Of a database in place, the recover volume may have been others' since: it is prepared again.
  if (database && (!in_place || done))
    for (const auto one : {step::kPrepare, step::kReplay}) past(one);
  if (in_place) {
    if (!database || done) past(step::kCompare);
    return;
  }
  past(step::kCopy, {{"treeInode", found.mark.new_inode}});
  if (database) past(step::kFinish);
}

void go_on(crds::RestoreRequest& request, const std::vector<const FoundMark*>& marks, Time now) {
  auto& status = request.status;
  status.started_at = now;
  // The first stop comes after the last item's mark says Stopping.
  const bool stopping =
      marks.size() == request.spec.items.size() &&
      std::ranges::none_of(marks, [](const FoundMark* one) { return one->mark.state == MarkState::Preparing; });
  bool any_begun = false;
  for (const FoundMark* found : marks) {
    any_begun = any_begun || (stopping && (is_new(*found) || found->mark.state == MarkState::Overwriting));
    if (stopping && found->mark.ledger.size() > status.ledger.size()) status.ledger = found->mark.ledger;
  }
  for (const FoundMark* found : marks) add_past(status, {found->item, step::kProbe}, Json::object(), now);
  for (const FoundMark* found : marks)
    if (found->mark.pinned) add_past(status, {found->item, step::kPin}, Json::object(), now);
  for (const FoundMark* found : marks) go_on_with(request, *found, stopping, now);
  const auto ended = std::ranges::find_if(
      marks, [](const FoundMark* one) { return one->mark.receipt && one->mark.receipt->result != "Succeeded"; });
  // The way out was being gone: it is gone to its end.
  if (ended != marks.end()) {
    status.receipt = crds::Receipt{(*ended)->mark.receipt->result, std::nullopt, std::nullopt};
    put_end(request, "Complete", false, (*ended)->mark.reason, (*ended)->mark.message, now);
  }
  if (!any_begun) return;
  add_past(status, {{}, step::kStop}, Json::object(), now);
  for (const FoundMark* found : marks) {
    if (is_new(*found))
      add_past(status, {found->item, is_in_place(*found) ? step::kOverwrite : step::kExchange},
               {{"previousInode", found->mark.old_inode}}, now);
    else if (found->mark.state == MarkState::Overwriting)
      begin(status, {found->item, step::kOverwrite}, now).result = Json{{kOverwriting, true}}.dump();
  }
}

}  // namespace

Recalled recall(crds::RestoreRequest& request, const std::string& installation, const std::vector<FoundMark>& found,
                Time now) {
  const std::string hash = spec_hash(request);
  std::vector<const FoundMark*> ours;
  const FoundMark* receipt = nullptr;
  bool unfinished = false;
  for (const auto& one : found) {
    if (one.mark.installation != installation)
      return {Recalled::What::Foreign,
              fmt::format("beside volume {} is the mark of restore {}/{} of installation \"{}\", which uses this host "
                          "too; give this request another name",
                          one.mark.volume, one.mark.ns, one.mark.name, one.mark.installation)};
    if (one.mark.spec_hash != hash) {
      // The receipt of an earlier request of this name concerns nobody any more.
      if (one.mark.state == MarkState::Receipt) continue;
      return {Recalled::What::Foreign,
              fmt::format("beside volume {} is the mark of an unfinished restore {}/{} made from another manifest; "
                          "apply that manifest "
                          "again so that it ends, or cancel it there, then apply this one under a new name",
                          one.mark.volume, one.mark.ns, one.mark.name)};
    }
    ours.push_back(&one);
    if (one.mark.state == MarkState::Receipt)
      receipt = &one;
    else
      unfinished = true;
  }
  if (ours.empty()) return {};
  copy_facts(request, ours);
  if (receipt != nullptr && !unfinished) {
    copy_receipt(request, receipt->mark, now);
    return {Recalled::What::AlreadyDone, {}};
  }
  const auto rolls_back = [](const FoundMark* one) { return one->mark.state == MarkState::RollingBack; };
  if (std::ranges::any_of(ours, rolls_back))
    go_on_rolling_back(request, ours, now);
  else
    go_on(request, ours, now);
  return {Recalled::What::GoesOn, {}};
}

}  // namespace roadstead::reconcilers::restore
