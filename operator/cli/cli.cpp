#include "operator/cli/cli.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <ostream>
#include <tuple>

#include "crds/schema/metadata.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

/// Flags of all verbs; a run fills in those of its verb.
struct Flags {
  Connection connection;
  OperatorOptions options;
  std::string listen = "127.0.0.1:6440";
  std::string metrics_listen = ":9618";
  std::string log_level = "info";
  ApplyFlags apply;
  std::string dry_run = "none";
  ApplyFlags validate;
  BackupFlags backup;
  VerifyFlags verify;
  GetFlags get;
  DescribeFlags describe;
  DeleteFlags remove;
  std::string remove_timeout = "0";
  WaitFlags wait;
  std::string wait_timeout = "30s";
  StatusFlags status;
  VersionFlags version;
};

using Run = std::function<int(const Session&)>;

void add_connection(CLI::App& verb, Flags& flags) {
  verb.add_option("--kubeconfig", flags.connection.kubeconfig,
                  "How to reach the operator; else $ROADSTEAD_KUBECONFIG, else DATA/admin.kubeconfig");
  verb.add_option("--data", flags.connection.data_dir, "The operator's data directory")->capture_default_str();
}

void add_namespace(CLI::App& verb, std::string& ns) {
  verb.add_option("-n,--namespace", ns, "Namespace of what is named")->capture_default_str();
}

void add_files(CLI::App& verb, std::vector<std::string>& files, bool& recursive, bool required) {
  auto* option = verb.add_option("-f,--filename", files, "File, directory, or - for standard input; may be repeated");
  option->allow_extra_args(false);
  if (required) option->required();
  verb.add_flag("-R,--recursive", recursive, "Also the directories below");
}

CLI::App* add_operator(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("operator", "Run the operator until it is told to stop");
  OperatorOptions& options = flags.options;
  verb->add_option("--data", options.data_dir, "Directory of the store, the certificates and admin.kubeconfig")
      ->capture_default_str();
  verb->add_option("--manifests", options.manifests_dir, "Directory of manifests that are applied and followed");
  verb->add_option("--installation", options.installation, "Name of this installation; two on one host need two names")
      ->capture_default_str();
  verb->add_option("--listen", flags.listen, "ADDRESS:PORT of the API")->capture_default_str();
  verb->add_option("--metrics-listen", flags.metrics_listen, "[ADDRESS]:PORT of /metrics")->capture_default_str();
  verb->add_option("--mover-image", options.mover_image, "Archive of the mover's image");
  verb->add_option("--image-archive", options.image_archives,
                   "Archive of an image that hosts get in place of a pull; may be repeated");
  verb->add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  return verb;
}

CLI::App* add_apply(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("apply", "Make the objects of manifests so; all of them are judged first");
  add_connection(*verb, flags);
  add_files(*verb, flags.apply.files, flags.apply.recursive, true);
  add_namespace(*verb, flags.apply.ns);
  verb->add_option("--dry-run", flags.dry_run, "server: say what would happen, change nothing")
      ->check(CLI::IsMember({"none", "server"}));
  return verb;
}

CLI::App* add_validate(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("validate", "Judge manifests without an operator");
  add_files(*verb, flags.validate.files, flags.validate.recursive, true);
  return verb;
}

CLI::App* add_backup(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("backup", "Make a backup now, as a policy says: backup POLICY");
  add_connection(*verb, flags);
  verb->add_option("policy", flags.backup.policy, "Name of the BackupPolicy")->required();
  add_namespace(*verb, flags.backup.ns);
  verb->add_flag("-w,--watch", flags.backup.watch, "Until it has ended, with a bar; exit code 1 where it failed");
  return verb;
}

CLI::App* add_verify(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("verify", "Read all that a policy's repositories hold, now: verify POLICY");
  add_connection(*verb, flags);
  verb->add_option("policy", flags.verify.policy, "Name of the BackupPolicy")->required();
  add_namespace(*verb, flags.verify.ns);
  verb->add_flag("-w,--watch", flags.verify.watch, "Until it has ended; exit code 1 where something is damaged");
  return verb;
}

CLI::App* add_get(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("get", "Show objects: get KIND [NAME...] or get KIND/NAME...");
  add_connection(*verb, flags);
  verb->add_option("what", flags.get.words, "KIND [NAME...] or KIND/NAME...")->required();
  verb->add_option("-o,--output", flags.get.output, "wide, json, yaml or name")
      ->check(CLI::IsMember({"wide", "json", "yaml", "name"}));
  add_namespace(*verb, flags.get.ns);
  verb->add_flag("-A,--all-namespaces", flags.get.all_namespaces, "Of all namespaces");
  verb->add_flag("-w,--watch", flags.get.watch, "Go on with what changes");
  verb->add_flag("--no-headers", flags.get.no_headers, "Rows alone");
  verb->add_option("-l,--selector", flags.get.selector, "Labels: app=web,tier in (a,b),!old");
  return verb;
}

CLI::App* add_describe(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("describe", "Show objects in full, with their conditions and events");
  add_connection(*verb, flags);
  verb->add_option("what", flags.describe.words, "KIND [NAME...] or KIND/NAME...")->required();
  add_namespace(*verb, flags.describe.ns);
  verb->add_option("-l,--selector", flags.describe.selector, "Labels: app=web,tier in (a,b),!old");
  return verb;
}

CLI::App* add_delete(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("delete", "Delete objects: KIND NAME..., KIND/NAME..., or those of files");
  add_connection(*verb, flags);
  verb->add_option("what", flags.remove.words, "KIND NAME... or KIND/NAME...");
  add_files(*verb, flags.remove.files, flags.remove.recursive, false);
  add_namespace(*verb, flags.remove.ns);
  verb->add_flag("--wait,!--no-wait", flags.remove.wait,
                 "Until they are gone (the default); --wait=false returns at once");
  verb->add_flag("--ignore-not-found", flags.remove.ignore_not_found, "What is not there is well");
  verb->add_option("--timeout", flags.remove_timeout, "Longest wait; 0: as long as it takes")->capture_default_str();
  return verb;
}

CLI::App* add_wait(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("wait", "Wait for objects: wait KIND/NAME --for=condition=Complete");
  add_connection(*verb, flags);
  verb->add_option("what", flags.wait.words, "KIND/NAME... or KIND NAME...")->required();
  verb->add_option("--for", flags.wait.what, "condition=NAME[=VALUE], jsonpath=PATH[=VALUE], create or delete")
      ->required();
  add_namespace(*verb, flags.wait.ns);
  verb->add_option("--timeout", flags.wait_timeout, "Longest wait for each")->capture_default_str();
  return verb;
}

CLI::App* add_status(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("status", "One screen: hosts, policies with ages, running work with bars");
  add_connection(*verb, flags);
  verb->add_flag("-w,--watch", flags.status.watch, "Draw it again each second");
  return verb;
}

CLI::App* add_version(CLI::App& app, Flags& flags) {
  CLI::App* verb = app.add_subcommand("version", "Versions of this program and of the operator");
  add_connection(*verb, flags);
  verb->add_flag("--client", flags.version.client_only, "Of this program alone");
  return verb;
}

/// "127.0.0.1:6440", ":9618" (all addresses), "[::1]:6440".
Result<std::pair<std::string, std::uint16_t>> address_and_port(const std::string& flag, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string address = colon == std::string::npos ? std::string() : text.substr(0, colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  if (address.empty()) address = "0.0.0.0";
  unsigned port = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + (colon == std::string::npos ? 0 : colon + 1), end, port);
  if (colon == std::string::npos || error != std::errc() || stopped != end || port > 65535)
    return fail(ErrorKind::Invalid, "{} {}: write ADDRESS:PORT", flag, text);
  return std::pair(address, static_cast<std::uint16_t>(port));
}

LogLevel log_level(const std::string& word) {
  if (word == "debug") return LogLevel::Debug;
  if (word == "warning") return LogLevel::Warning;
  return word == "error" ? LogLevel::Error : LogLevel::Info;
}

int run_operator(const Session& session, Flags& flags) {
  // It stands in names and labels of containers; as a label's value "" would match those of every installation.
  if (!crds::is_namespace_name(flags.options.installation)) {
    session.failed(
        fmt::format("--installation \"{}\": write lower-case letters, digits and '-', with a letter or digit at both "
                    "ends, at most 63",
                    flags.options.installation));
    return kExitUsage;
  }
  const auto listen = address_and_port("--listen", flags.listen);
  const auto metrics = address_and_port("--metrics-listen", flags.metrics_listen);
  for (const auto* parsed : {&listen, &metrics}) {
    if (*parsed) continue;
    session.failed(parsed->error().message);
    return kExitUsage;
  }
  std::tie(flags.options.listen_address, flags.options.listen_port) = *listen;
  std::tie(flags.options.metrics_address, flags.options.metrics_port) = *metrics;
  flags.options.log_level = log_level(flags.log_level);
  return session.hooks().run_operator(flags.options);
}

/// A verb with a duration among its flags; what is no duration is a wrong command line.
template <class Verb>
int with_duration(const Session& session, const std::string& text, Millis& into, Verb verb) {
  const auto parsed = parse_duration(text);
  if (!parsed) {
    session.failed("--timeout: " + parsed.error().message);
    return kExitUsage;
  }
  into = *parsed;
  return verb();
}

}  // namespace

int run_cli(int argc, const char* const* argv, const CliHooks& hooks) {
  CLI::App app("Backs up and restores Docker hosts, from declarations.", "roadstead");
  app.require_subcommand(1);
  app.set_version_flag("--version", "roadstead v" + hooks.version);
  Flags flags;
  app.add_option("--kubeconfig", flags.connection.kubeconfig, "As of each verb; before or after it");
  const std::vector<std::pair<CLI::App*, Run>> verbs{
      {add_operator(app, flags), [&](const Session& session) { return run_operator(session, flags); }},
      {add_apply(app, flags),
       [&](const Session& session) {
         flags.apply.dry_run = flags.dry_run == "server";
         return apply(session, flags.apply);
       }},
      {add_backup(app, flags), [&](const Session& session) { return backup(session, flags.backup); }},
      {add_verify(app, flags), [&](const Session& session) { return verify(session, flags.verify); }},
      {add_get(app, flags), [&](const Session& session) { return get(session, flags.get); }},
      {add_describe(app, flags), [&](const Session& session) { return describe(session, flags.describe); }},
      {add_delete(app, flags),
       [&](const Session& session) {
         return with_duration(session, flags.remove_timeout, flags.remove.timeout,
                              [&] { return remove(session, flags.remove); });
       }},
      {add_wait(app, flags),
       [&](const Session& session) {
         return with_duration(session, flags.wait_timeout, flags.wait.timeout,
                              [&] { return wait(session, flags.wait); });
       }},
      {add_validate(app, flags), [&](const Session& session) { return validate(session, flags.validate); }},
      {add_status(app, flags), [&](const Session& session) { return status(session, flags.status); }},
      {add_version(app, flags), [&](const Session& session) { return version(session, flags.version); }},
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    if (wrong.get_exit_code() == 0) return app.exit(wrong, *hooks.out, *hooks.err);  // --help, --version
    *hooks.err << "error: " << wrong.what() << "; see roadstead --help\n";
    return kExitUsage;
  }
  const Session session(hooks, flags.connection);
  for (const auto& [verb, run] : verbs)
    if (verb->parsed()) return run(session);
  return kExitUsage;
}

}  // namespace roadstead::cli
