#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/cli/session.h"

/// The verbs, each with its own flags. All return the exit code.
namespace roadstead::cli {

struct ApplyFlags {
  std::vector<std::string> files;  ///< Files, directories or "-".
  bool recursive = false;
  std::string ns = "default";
  bool dry_run = false;
};
int apply(const Session& session, const ApplyFlags& flags);
int validate(const Session& session, const ApplyFlags& flags);

struct GetFlags {
  std::vector<std::string> words;
  std::string output;  ///< "", wide, json, yaml, name
  std::string ns = "default";
  bool all_namespaces = false;
  bool watch = false;
  bool no_headers = false;
  std::string selector;
};
int get(const Session& session, const GetFlags& flags);

struct BackupFlags {
  std::string policy;
  std::string ns = "default";
  bool watch = false;
};
int backup(const Session& session, const BackupFlags& flags);

struct VerifyFlags {
  std::string policy;
  std::string ns = "default";
  bool watch = false;
};
int verify(const Session& session, const VerifyFlags& flags);

struct DescribeFlags {
  std::vector<std::string> words;
  std::string ns = "default";
  std::string selector;
};
int describe(const Session& session, const DescribeFlags& flags);

struct DeleteFlags {
  std::vector<std::string> words;
  std::vector<std::string> files;
  bool recursive = false;
  std::string ns = "default";
  bool wait = true;
  bool ignore_not_found = false;
  Millis timeout{0};  ///< 0: as long as it takes.
};
int remove(const Session& session, const DeleteFlags& flags);

struct WaitFlags {
  std::vector<std::string> words;
  std::string what;  ///< condition=NAME[=VALUE], jsonpath=PATH=VALUE, delete, create
  std::string ns = "default";
  Millis timeout{30'000};
};
int wait(const Session& session, const WaitFlags& flags);

struct StatusFlags {
  bool watch = false;
};
int status(const Session& session, const StatusFlags& flags);

struct VersionFlags {
  bool client_only = false;
};
int version(const Session& session, const VersionFlags& flags);

/// "90s", "1m30s", "2h", "500ms", "0". Errors: Invalid.
[[nodiscard]] Result<Millis> parse_duration(const std::string& text);

/// "restorerequest.roadstead.dev/uat", as verbs name what they did something to.
[[nodiscard]] std::string display_name(const ResourceType& type, const std::string& name);

}  // namespace roadstead::cli
