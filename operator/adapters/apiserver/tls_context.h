#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <utility>  // before any Asio header: awaitable.hpp of Boost 1.74 needs it

#include "operator/adapters/apiserver/http_message.h"

namespace roadstead::apiserver {

/// PEM texts.
struct TlsMaterial {
  std::string certificate;
  std::string key;
  std::string client_ca;  ///< Whose client certificates are believed.
};

/// TLS 1.2 and newer, no renegotiation, no session reuse; a client certificate is asked for, not demanded.
/// Errors: Internal (what OpenSSL says of the material).
[[nodiscard]] Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const TlsMaterial& material);

/// CN and each O of the client's verified certificate; nobody where none was shown.
[[nodiscard]] User user_of(SSL* session);

}  // namespace roadstead::apiserver
