#pragma once

// The commands that messages give to people, spelled in one place.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "crds/host.h"
#include "crds/kind.h"
#include "crds/restore_request.h"

namespace roadstead::reconcilers {

/// "restorerequest": a kind as commands take it.
template <class T>
std::string kind_word() {
  std::string word(crds::Kind<T>::kind);
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

/// "roadstead describe restorerequest uat -n default"
template <class T>
std::string describe_command(const std::string& ns, const std::string& name) {
  return fmt::format("roadstead describe {} {} -n {}", kind_word<T>(), name, ns);
}

/// Never without the kubeconfig: else kubectl speaks to whatever cluster this person worked with last. DATA is the data
/// directory of the operator, which the reader knows.
inline constexpr std::string_view kKubectl = "kubectl --kubeconfig DATA/admin.kubeconfig";

/// "kubectl --kubeconfig … patch backup nightly -n default --type merge -p '{"spec":{"keep":false}}'"
template <class T>
std::string patch_command(const std::string& ns, const std::string& name, std::string_view patch) {
  return fmt::format("{} patch {} {} -n {} --type merge -p '{}'", kKubectl, kind_word<T>(), name, ns, patch);
}

inline std::string cancel_command(const std::string& ns, const std::string& name) {
  return patch_command<crds::RestoreRequest>(ns, name, R"({"spec":{"cancel":true}})");
}

/// What to do about a restore that others wait for.
inline std::string see_or_cancel(const std::string& ns, const std::string& name) {
  return fmt::format("see `{}`, or end it while nothing is exchanged or overwritten yet: `{}`",
                     describe_command<crds::RestoreRequest>(ns, name), cancel_command(ns, name));
}

/// "docker -H ssh://ops@annex2": speaks to the engine of a host.
inline std::string docker_command(const crds::Host& host) { return "docker -H " + host.spec.engine.endpoint; }

}  // namespace roadstead::reconcilers
