#include "mover/place.h"

#include <sys/file.h>

namespace roadstead::mover {
namespace {

Outcome<std::optional<struct stat>> directory_status(int at, std::string_view name) {
  auto status = status_of(at, std::string(name));
  if (status && *status && !S_ISDIR((*status)->st_mode))
    return failed("NotADirectory", fmt::format("{} is no directory", name), "look at the volume; nothing was touched");
  return status;
}

Outcome<Place> locked(Fd parent, Fd request, const Target& target) {
  if (::flock(request.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed_call(errno, "lock {}", target.request);
    return failed("Busy", fmt::format("another mover works on {}", target.request),
                  "wait until the other mover has ended, then run the step again");
  }
  return Place{std::move(parent), std::move(request)};
}

}  // namespace

Outcome<std::optional<struct stat>> Place::data() const { return directory_status(parent.get(), kDataName); }
Outcome<std::optional<struct stat>> Place::tree() const { return directory_status(request.get(), kTreeName); }

Outcome<Place> make_place(const Target& target) {
  auto parent = open_root(target.parent);
  if (!parent) return failed(parent.error());
  const auto own = make_and_open_directory(parent->get(), std::string(kOwnName), 0700);
  if (!own) return failed(own.error());
  auto request = make_and_open_directory(own->get(), target.request, 0700);
  if (!request) return failed(request.error());
  if (auto synced = sync_directory(own->get()); !synced) return failed(synced.error());
  if (auto synced = sync_directory(parent->get()); !synced) return failed(synced.error());
  return locked(std::move(*parent), std::move(*request), target);
}

Outcome<std::optional<Place>> find_place(const Target& target) {
  auto parent = open_root(target.parent);
  if (!parent) return failed(parent.error());
  const auto own = open_directory_if_any(parent->get(), std::string(kOwnName));
  if (!own) return failed(own.error());
  if (!*own) return std::nullopt;
  auto request = open_directory_if_any((*own)->get(), target.request);
  if (!request) return failed(request.error());
  if (!*request) return std::nullopt;
  auto place = locked(std::move(*parent), std::move(**request), target);
  if (!place) return failed(place.error());
  return std::optional<Place>(std::move(*place));
}

}  // namespace roadstead::mover
