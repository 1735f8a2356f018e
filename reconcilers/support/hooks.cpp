#include "reconcilers/support/hooks.h"

#include <algorithm>

namespace roadstead::reconcilers {
namespace {

/// What a person sees of an answer: its beginning, on one line.
std::string shown(std::string text) {
  constexpr std::size_t kLongest = 300;
  std::ranges::replace(text, '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
}

std::string with_words(const std::string& what, const std::string& words) {
  return words.empty() ? what : what + ": " + words;
}

Outcome run_exec(const crds::ExecHook& hook, const HostHandle& host, const Limits& limits) {
  const std::string where = fmt::format("container {} on host {}", hook.container, host.host.metadata.name);
  // Asked first: an engine that is away has begun nothing.
  const auto info = host.engine->inspect_container(hook.container, limits);
  if (!info && info.error().kind == ErrorKind::NotFound)
    return Failed{"HookFailed", where + " is not there", "start it, or correct the hook"};
  if (!info) return from_error(info.error(), host, true);
  if (info->state != ContainerState::Running)
    return Failed{"HookFailed", where + " does not run", "start it, or correct the hook"};

  ExecSpec spec;
  spec.command = hook.command;
  spec.time_limit = std::chrono::seconds(hook.timeout_seconds);
  Limits patient = limits;
  patient.idle = std::max<std::chrono::milliseconds>(limits.idle, spec.time_limit + std::chrono::seconds(5));
  const auto answer = host.engine->exec(hook.container, spec, patient);
  if (!answer && answer.error().kind == ErrorKind::Timeout)
    return Failed{"HookFailed", fmt::format("the command in {} still ran after {} s", where, hook.timeout_seconds),
                  "give it more time with timeoutSeconds, or look at what it waits for"};
  if (!answer && answer.error().kind == ErrorKind::Cancelled) return from_error(answer.error(), host, true);
  if (!answer) return Retry{"HookFailed", fmt::format("{}: {}", where, answer.error().message), {}};
  if (answer->exit_code == 0) return Done{"{}", {}};
  return Failed{"HookFailed",
                with_words(fmt::format("the command in {} ended with exit code {}", where, answer->exit_code),
                           shown(answer->err.empty() ? answer->out : answer->err)),
                {}};
}

Result<HttpHookRequest> request_of(const Context& context, const crds::HttpHook& hook) {
  HttpHookRequest request;
  request.method = std::string(crds::to_string(hook.method));
  request.url = hook.url;
  request.time_limit = std::chrono::seconds(hook.timeout_seconds);
  for (const auto& header : hook.headers) {
    if (!header.value_ref) {
      request.headers.emplace_back(header.name, header.value.value_or(""));
      continue;
    }
    auto value = context.secrets.resolve(*header.value_ref);
    if (!value) return within("header " + header.name, value.error());
    request.headers.emplace_back(header.name, std::move(*value));
  }
  return request;
}

Outcome run_http(const Context& context, const crds::HttpHook& hook, const Limits& limits) {
  if (context.http == nullptr) return Failed{"HookFailed", "this operator sends no requests", {}};
  const auto request = request_of(context, hook);
  if (!request) return Failed{"HookFailed", request.error().message, {}};
  const auto answer = context.http->send(*request, limits.stop);
  if (!answer && answer.error().kind == ErrorKind::Unavailable) return Retry{"HookFailed", answer.error().message, {}};
  if (!answer) return Failed{"HookFailed", answer.error().message, {}};
  if (std::ranges::find(hook.expect_status, answer->status) != hook.expect_status.end()) return Done{"{}", {}};
  return Failed{"HookFailed",
                with_words(fmt::format("{} answered {}, expected is {}", hook.url, answer->status,
                                       fmt::join(hook.expect_status, " or ")),
                           shown(answer->body)),
                {}};
}

}  // namespace

Outcome run_hook(const Context& context, const crds::Hook& hook, const HostHandle& host, const Limits& limits) {
  return hook.exec ? run_exec(*hook.exec, host, limits) : run_http(context, *hook.http, limits);
}

}  // namespace roadstead::reconcilers
