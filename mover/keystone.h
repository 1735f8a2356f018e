#pragma once

#include <string>

#include "mover/directory_cursor.h"
#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// In a request's directory: the keystone that was set aside, and the one that will take its place.
inline constexpr const char* kKeystoneName = "keystone";
inline constexpr const char* kNewKeystoneName = "keystone.new";

/// The entry of a path; 0 where there is none.
std::uint32_t entry_at(const EntryList& entries, std::string_view path);

/// The keystone of a tree: without it nothing can begin to use what is only half there.
class Keystone {
 public:
  /// Refused where the source does not have it as a file of one name.
  static Outcome<Keystone> find(const EntryList& entries, const std::string& path);

  [[nodiscard]] std::uint32_t entry() const { return entry_; }

  /// Moves it out of the tree into the request's directory, durable on return. What stands in the way to it (a link)
  /// goes instead; a tree without it is left as it is.
  Outcome<void> set_aside(int tree, int request) const;

  /// Where its bytes are gathered, empty.
  Outcome<Fd> open_new(int request) const;

  /// Puts what was gathered into its place, with its metadata and its directory's; all at once and durable on return.
  Outcome<void> put(const EntryList& entries, int tree, int request) const;

 private:
  Keystone(std::string path, std::uint32_t entry) : path_(std::move(path)), entry_(entry) {}
  [[nodiscard]] Outcome<void> move_out(int directory, const std::string& name, const struct stat& status,
                                       int request) const;
  [[nodiscard]] Outcome<void> copy_out(int directory, const std::string& name, const struct stat& status,
                                       int request) const;
  Outcome<void> copy_in(const EntryList& entries, const Fd& gathered, int directory) const;

  std::string path_;
  std::uint32_t entry_;
};

}  // namespace roadstead::mover
