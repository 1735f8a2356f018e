#pragma once

#include <cstddef>

#include "operator/base/clock.h"

namespace roadstead::apiserver {

/// What one client, or all of them, may take. The defaults are for production; tests shorten them.
struct ServerLimits {
  std::size_t header_bytes = std::size_t{16} << 10;
  std::size_t body_bytes = std::size_t{3} << 20;
  std::size_t connections = 512;
  std::size_t connections_per_peer = 256;
  std::size_t watches = 256;                             ///< Each has a thread of its own (the port behind it blocks).
  std::size_t watch_queue_bytes = std::size_t{1} << 20;  ///< A watcher further behind is cut off and lists again.
  Millis header_timeout{10'000};  ///< From connecting (or the first byte of the next request) to the header's end.
  Millis idle_timeout{60'000};    ///< Between two requests of one connection.
  Millis body_timeout{30'000};
  Millis write_timeout{30'000};  ///< Per answer, or per chunk of a watch.
  Millis drain_timeout{5'000};   ///< What requests in flight get when the server stops.
};

}  // namespace roadstead::apiserver
