#include "mover/outcome.h"

#include <cstring>

namespace roadstead::mover {
namespace {

struct Words {
  const char* reason;
  const char* next;
};

Words words_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return {"NoSpace", "free space on the target and run the step again; what was written is kept"};
    case ENOENT:
      return {"NotFound", "check the paths of the job and that the volume still exists"};
    case EACCES:
    case EPERM:
      return {"Forbidden", "run the mover as root with the capabilities Docker gives by default"};
    case EROFS:
      return {"ReadOnly", "mount the target writable, and check the host's disk for errors"};
    case EIO:
      return {"DiskError", "check the host's disk (dmesg), then run the step again"};
    default:
      return {"SystemError", "look at the message, then run the step again"};
  }
}

}  // namespace

Failure system_failure(int error, std::string_view what) {
  const Words words = words_for(error);
  char buffer[128];
  return {words.reason, fmt::format("{}: {}", what, ::strerror_r(error, buffer, sizeof buffer)), words.next};
}

Failure cancelled() { return {"Cancelled", "the mover was told to stop", "run the step again to go on from here"}; }

Failure protocol_error(std::string message) {
  return {"ProtocolError", std::move(message), "make sure that both hosts run the same version of the mover"};
}

Failure connection_lost(std::string message) {
  return {"ConnectionLost", std::move(message), "run the step again; verified data is not sent again"};
}

Failure source_changed(std::string message) {
  return {"SourceChanged", std::move(message), "make sure that nothing writes to the source, then run the step again"};
}

}  // namespace roadstead::mover
