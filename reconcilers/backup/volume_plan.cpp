#include "reconcilers/backup/volume_plan.h"

#include <nlohmann/json.hpp>

namespace roadstead::reconcilers::backup {
namespace {

using Json = nlohmann::json;

}  // namespace

std::string Plan::name_of(const Place& place) const {
  return copies_repository() ? fmt::format("{}/{}@{}", place.source_host, place.volume, place.host)
                             : fmt::format("{}@{}", place.volume, place.host);
}

std::string to_text(const Plan& plan) {
  crds::Backup carrier;
  carrier.metadata.name = "plan";
  carrier.spec.source = plan.source;
  carrier.spec.destinations = plan.destinations;
  carrier.spec.transfer = plan.transfer;
  Json json{{"spec", crds::to_json(carrier).at("spec")},
            {"suspiciousShrinkPercent", plan.suspicious_shrink_percent},
            {"places", Json::array()}};
  for (const auto& place : plan.places)
    json["places"].push_back({{"sourceHost", place.source_host},
                              {"volume", place.volume},
                              {"host", place.host},
                              {"exclude", place.exclude},
                              {"policies", place.policies}});
  return json.dump();
}

Result<Plan> parse_plan(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    auto carrier = crds::from_json<crds::Backup>({{"apiVersion", crds::kApiVersion},
                                                  {"kind", crds::Kind<crds::Backup>::kind},
                                                  {"metadata", {{"name", "plan"}}},
                                                  {"spec", json.at("spec")}});
    if (!carrier) return tl::unexpected(carrier.error());
    Plan plan;
    if (!carrier->spec.source || !carrier->spec.source->host_ref)
      return fail(ErrorKind::Invalid, "the plan in status.steps names no source");
    plan.source = std::move(*carrier->spec.source);
    plan.destinations = std::move(carrier->spec.destinations);
    plan.transfer = carrier->spec.transfer;
    plan.suspicious_shrink_percent = json.at("suspiciousShrinkPercent").get<std::int64_t>();
    for (const auto& place : json.at("places"))
      plan.places.push_back({place.at("sourceHost").get<std::string>(), place.at("volume").get<std::string>(),
                             place.at("host").get<std::string>(), place.at("exclude").get<std::vector<std::string>>(),
                             place.at("policies").get<std::vector<std::string>>()});
    return plan;
  } catch (const Json::exception& wrong) {
    return fail(ErrorKind::Invalid, "the plan in status.steps cannot be read: {}", wrong.what());
  }
}

std::string to_text(const Lookup& lookup) {
  Json json{{"directory", lookup.directory}, {"missing", Json::array()}, {"leftOut", lookup.left_out}};
  if (!lookup.unreadable.empty()) json["unreadable"] = lookup.unreadable;
  if (lookup.source_gone) json["sourceGone"] = true;
  for (const auto& one : lookup.missing) {
    Json entry{{"id", one.id}};
    if (!one.origin.empty()) entry["origin"] = one.origin;
    if (one.bytes) entry["bytes"] = *one.bytes;
    json["missing"].push_back(std::move(entry));
  }
  return json.dump();
}

Result<Lookup> parse_lookup(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Lookup lookup;
    lookup.directory = json.at("directory").get<bool>();
    lookup.left_out = json.value("leftOut", std::int64_t{0});
    lookup.unreadable = json.value("unreadable", std::vector<std::string>{});
    lookup.source_gone = json.value("sourceGone", false);
    for (const auto& one : json.at("missing")) {
      Missing missing{one.at("id").get<std::string>(), one.value("origin", ""), {}};
      if (one.contains("bytes")) missing.bytes = one.at("bytes").get<std::int64_t>();
      lookup.missing.push_back(std::move(missing));
    }
    return lookup;
  } catch (const Json::exception& wrong) {
    return fail(ErrorKind::Invalid, "what was looked up cannot be read: {}", wrong.what());
  }
}

}  // namespace roadstead::reconcilers::backup
