#pragma once

namespace roadstead::rest {

/// What the process needs before cpprest's first use: few threads, and an OpenSSL that outlives them. Cheap when called
/// again. Safe from several threads.
void prepare_process();

}  // namespace roadstead::rest
