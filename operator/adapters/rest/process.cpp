#include "operator/adapters/rest/process.h"

// clang-format off
#include <utility>  // before any Asio header: awaitable.hpp of Boost 1.74 needs it
// clang-format on

#include <openssl/crypto.h>
#include <pplx/threadpool.h>

#include <exception>
#include <mutex>

namespace roadstead::rest {
namespace {

// cpprest frees connections on threads of its own, which are joined in a late static destructor. OpenSSL's clean-up at
// exit comes before that, and a thread that then frees a certificate waits for a lock that is gone: the program would
// print its answer and never end. Without the clean-up there is no such moment; the system takes everything back
// anyway. It can be asked for only before OpenSSL's first use, hence here and not in prepare_process().
const bool kOpenSslStays = ::OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr) == 1;

/// cpprest starts 40 threads unless told otherwise before its first use.
void limit_threads() {
  try {
    crossplat::threadpool::initialize_with_threads(2);
  } catch (const std::exception&) {
    // Somebody was first: it works all the same.
  }
}

}  // namespace

void prepare_process() {
  static std::once_flag once;
  std::call_once(once, limit_threads);
}

}  // namespace roadstead::rest
