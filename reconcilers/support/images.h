#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "reconcilers/support/hosts.h"

namespace roadstead::reconcilers {

/// Brings images to hosts: a host needs nothing but a Docker Engine.
/// The mover is a root file system archive that the operator carries; other images are there already, come out of the
/// archives (`docker save`) given to the operator, or are pulled.
class Images {
 public:
  struct Sources {
    std::string mover_archive;                ///< Path of the root file system tar.
    std::string mover_reference;              ///< "roadstead/mover:0.1.0-<digest>"; see mover_reference_of().
    std::vector<std::string> image_archives;  ///< Paths of `docker save` archives, tried in order before a pull.
  };

  Images(Hosts& hosts, Sources sources) : hosts_(hosts), sources_(std::move(sources)) {}

  /// The mover's image on this host, imported if it is not there. Returns the reference to create containers from.
  Result<std::string> ensure_mover(const HostHandle& host, const Limits& limits);

  /// Makes sure `reference` is on this host. Errors: NotFound with what to do next.
  Result<void> ensure(const HostHandle& host, const std::string& reference, const Limits& limits);

 private:
  Result<void> load_from_archives(const HostHandle& host, const std::string& reference, const Limits& limits);

  Hosts& hosts_;
  const Sources sources_;
};

/// "roadstead/mover:<version>-<first 12 digits of the archive's SHA-256>". Errors: NotFound (no such file).
Result<std::string> mover_reference_of(const std::string& archive_path, const std::string& version);

}  // namespace roadstead::reconcilers
