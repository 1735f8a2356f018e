#include "mover/open_source.h"

namespace roadstead::mover {

Outcome<std::unique_ptr<TreeSource>> open_source(const Source& source, const std::stop_token& stop,
                                                 const Listed& listed) {
  return open_directory_source(source, stop, listed);
}

}  // namespace roadstead::mover
