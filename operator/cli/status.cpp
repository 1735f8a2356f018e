#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "operator/base/rfc3339.h"
#include "operator/cli/overview.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

constexpr Millis kRedraw{1'000};
constexpr Millis kLook{100};  // how soon an interrupt is noticed
constexpr const char* kHomeAndClear = "\x1b[H\x1b[2J";

template <class T>
Result<void> read(ApiClient& client, std::vector<T>& into) {
  const auto list = client.list(std::string(crds::Kind<T>::kind), {});
  if (!list) return tl::unexpected(list.error());
  for (const json& item : list->items) {
    auto object = crds::from_json<T>(item);
    if (!object) return tl::unexpected(object.error());
    into.push_back(std::move(*object));
  }
  return {};
}

Result<Overview> overview_of(ApiClient& client) {
  Overview overview;
  return read(client, overview.hosts)
      .and_then([&] { return read(client, overview.servers); })
      .and_then([&] { return read(client, overview.policies); })
      .and_then([&] { return read(client, overview.backups); })
      .and_then([&] { return read(client, overview.restores); })
      .map([&] { return std::move(overview); });
}

void pause(const Session& session) {
  const auto end = std::chrono::steady_clock::now() + kRedraw;
  while (!session.hooks().interrupted() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(kLook);
}

}  // namespace

int status(const Session& session, const StatusFlags& flags) {
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  std::string before;
  do {
    const auto overview = overview_of(**client);
    if (!overview) return session.failed(overview.error());
    const Time now = session.hooks().clock->now();
    const std::string text = screen(*overview, now);
    // On a terminal the screen is drawn over; into a file only what is new is written.
    if (session.hooks().terminal && flags.watch) session.out() << kHomeAndClear;
    if (session.hooks().terminal || text != before)
      session.out() << fmt::format("Roadstead at {}   {}\n\n", (*client)->address(), format_rfc3339(now)) << text;
    session.out().flush();
    before = text;
    if (flags.watch) pause(session);
  } while (flags.watch && !session.hooks().interrupted());
  return kExitOk;
}

int version(const Session& session, const VersionFlags& flags) {
  session.out() << "Client Version: v" << session.hooks().version << "\n";
  if (flags.client_only) return kExitOk;
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  const auto server = (*client)->server_version();
  if (!server) return session.failed(server.error());
  session.out() << "Server Version: " << server->value("gitVersion", "") << "\n";
  return kExitOk;
}

}  // namespace roadstead::cli
