#include "operator/adapters/apiserver/tls_context.h"

#include <openssl/x509.h>

namespace roadstead::apiserver {
namespace {

namespace ssl = boost::asio::ssl;

struct CertificateFree {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

std::vector<std::string> entries(X509_NAME* name, int nid) {
  std::vector<std::string> found;
  for (int at = X509_NAME_get_index_by_NID(name, nid, -1); at >= 0; at = X509_NAME_get_index_by_NID(name, nid, at)) {
    unsigned char* text = nullptr;
    const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (length < 0) continue;
    found.emplace_back(reinterpret_cast<const char*>(text), static_cast<std::size_t>(length));
    OPENSSL_free(text);
  }
  return found;
}

void load(ssl::context& context, const TlsMaterial& material) {
  context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 | ssl::context::no_compression);
  SSL_CTX* handle = context.native_handle();
  SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
  SSL_CTX_set_options(handle, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  // A resumed session would carry no fresh client certificate.
  SSL_CTX_set_session_cache_mode(handle, SSL_SESS_CACHE_OFF);
  context.use_certificate_chain(boost::asio::buffer(material.certificate));
  context.use_private_key(boost::asio::buffer(material.key), ssl::context::pem);
  context.add_certificate_authority(boost::asio::buffer(material.client_ca));
  context.set_verify_mode(ssl::verify_peer);
}

}  // namespace

Result<std::shared_ptr<ssl::context>> make_tls_context(const TlsMaterial& material) {
  try {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    load(*context, material);
    return context;
  } catch (const std::exception& refused) {
    return fail(ErrorKind::Internal, "load the server's certificate: {}", refused.what());
  }
}

User user_of(SSL* session) {
  const std::unique_ptr<X509, CertificateFree> certificate(SSL_get1_peer_certificate(session));
  if (!certificate || SSL_get_verify_result(session) != X509_V_OK) return {};
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const std::vector<std::string> names = entries(subject, NID_commonName);
  if (names.empty()) return {};
  return {names.front(), entries(subject, NID_organizationName)};
}

}  // namespace roadstead::apiserver
