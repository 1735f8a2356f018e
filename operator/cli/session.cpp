#include "operator/cli/session.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

namespace roadstead::cli {
namespace {

using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr Millis kLook{200};  // how soon an interrupt is noticed

/// Errors of a server have a reason; those of this machine do not.
bool is_from_server(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::NotFound:
    case ErrorKind::AlreadyExists:
    case ErrorKind::Conflict:
    case ErrorKind::Invalid:
    case ErrorKind::Forbidden:
    case ErrorKind::Expired:
    case ErrorKind::NoSpace:
      return true;
    case ErrorKind::Unavailable:
    case ErrorKind::Timeout:
    case ErrorKind::Cancelled:
    case ErrorKind::Internal:
      return false;
  }
  return false;
}

}  // namespace

std::string Session::kubeconfig() const {
  if (!connection_.kubeconfig.empty()) return connection_.kubeconfig;
  if (const char* given = std::getenv("ROADSTEAD_KUBECONFIG"); given != nullptr && *given != '\0') return given;
  return connection_.data_dir + "/admin.kubeconfig";
}

Result<std::unique_ptr<ApiClient>> Session::connect() const {
  const std::string path = kubeconfig();
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable))
    return fail(
        ErrorKind::Internal,
        "{} is not there: start the operator (roadstead operator --data {}), or name another file with --kubeconfig",
        path, connection_.data_dir);
  return hooks_.connect(path).map_error([](Error error) {
    error.kind = ErrorKind::Internal;  // nothing of a server's: the file is wrong
    return error;
  });
}

int Session::failed(const Error& error) const {
  if (is_from_server(error.kind)) {
    err() << fmt::format("Error from server ({}): {}\n", to_string(error.kind), error.message);
  } else if (error.kind == ErrorKind::Unavailable) {
    err() << fmt::format("error: {}; is the operator running? (roadstead operator --data {})\n", error.message,
                         connection_.data_dir);
  } else {
    err() << "error: " << error.message << "\n";
  }
  return kExitError;
}

int Session::failed(const std::string& message) const {
  err() << "error: " << message << "\n";
  return kExitError;
}

Result<std::vector<Target>> targets_of(const std::vector<std::string>& words, const ResourceTypes& types) {
  const auto type_of = [&](const std::string& word) -> Result<const ResourceType*> {
    if (const ResourceType* type = types.by_word(word)) return type;
    std::string known;
    for (const ResourceType& type : types.all()) known += (known.empty() ? "" : ", ") + type.plural;
    return fail(ErrorKind::Invalid, "there is no kind \"{}\": known are {}", word, known);
  };
  std::vector<Target> targets;
  const bool slashed = words.front().find('/') != std::string::npos;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t slash = words[i].find('/');
    if (slashed != (slash != std::string::npos))
      return fail(ErrorKind::Invalid, "write either KIND NAME... or KIND/NAME..., not both");
    if (!slashed && i == 0 && words.size() > 1) continue;  // the kind of those that follow
    const auto type = type_of(slashed ? words[i].substr(0, slash) : words.front());
    if (!type) return tl::unexpected(type.error());
    const std::string name = slashed ? words[i].substr(slash + 1) : words.size() > 1 ? words[i] : std::string();
    if (slashed && name.empty()) return fail(ErrorKind::Invalid, "\"{}\" names no object", words[i]);
    targets.push_back({*type, name});
  }
  return targets;
}

std::string namespace_for(const ResourceType& type, const std::string& given) {
  return type.namespaced ? given : std::string();
}

Result<bool> follow(ApiClient& client, const ObjectKey& key, std::optional<Millis> most,
                    const std::function<bool()>& interrupted, const std::function<bool(const json* object)>& look) {
  const auto end = most ? Steady::now() + *most : Steady::time_point::max();
  const auto over = [&] { return interrupted() || Steady::now() >= end; };
  ListOptions only;
  only.ns = key.ns;
  only.field_selector = "metadata.name=" + key.name;
  for (;;) {
    const auto now = client.list(key.kind, only);
    if (!now) return tl::unexpected(now.error());
    if (look(now->items.empty() ? nullptr : &now->items.front())) return true;
    if (over()) return false;
    auto watch = client.watch(key.kind, only, now->resource_version);
    if (!watch) return tl::unexpected(watch.error());
    for (;;) {
      const auto left = most ? std::chrono::ceil<Millis>(end - Steady::now()) : kLook;
      const auto event = (*watch)->next(std::clamp(left, Millis(0), kLook), {});
      if (!event) break;  // ended or too old: look anew
      if (*event && (*event)->type != WatchEvent::Type::Bookmark) {
        const bool gone = (*event)->type == WatchEvent::Type::Deleted;
        if (look(gone ? nullptr : &(*event)->object)) return true;
      }
      if (over()) return false;
    }
  }
}

}  // namespace roadstead::cli
