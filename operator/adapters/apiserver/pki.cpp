#include "operator/adapters/apiserver/pki.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "operator/base/file.h"
#include "operator/base/text.h"

namespace roadstead::apiserver {
namespace {

using std::chrono::days;

constexpr days kAuthorityLife{3650};
constexpr days kCertificateLife{365};
constexpr days kRenewBefore{30};
constexpr std::chrono::hours kBackdated{1};  // a client's clock may be a little behind

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using Bio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

struct Pair {
  Certificate certificate;
  Key key;
};

/// What a new certificate is for.
struct Wanted {
  std::string file;  ///< "server": pki/server.crt, pki/server.key.
  std::string common_name;
  std::string organization;
  std::string usage;               ///< Extended key usage; empty: an authority.
  std::vector<std::string> names;  ///< Subject alternative names.
  days life = kCertificateLife;
};

tl::unexpected<Error> openssl_error(const std::string& what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return fail(ErrorKind::Internal, "{}: {}", what, reason == nullptr ? "refused by OpenSSL" : reason);
}

time_t unix_time(Time time) { return std::chrono::system_clock::to_time_t(time); }

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(length)};
}

std::string pem_of(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio.get());
}

std::string pem_of(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

Bio bio_of(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

bool is_address(const std::string& name) {
  return std::unique_ptr<ASN1_OCTET_STRING, FreeWith<ASN1_OCTET_STRING_free>>(a2i_IPADDRESS(name.c_str())) != nullptr;
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += ",";
    text += (is_address(name) ? "IP:" : "DNS:") + name;
  }
  return text;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool add_extensions(X509* certificate, X509* issuer, const Wanted& wanted) {
  const bool authority = wanted.usage.empty();
  bool good =
      add_extension(certificate, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  good = good && add_extension(certificate, issuer, NID_key_usage,
                               authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  good = good && add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
  good = good && add_extension(certificate, issuer, NID_authority_key_identifier, "keyid");
  if (!authority) good = good && add_extension(certificate, issuer, NID_ext_key_usage, wanted.usage);
  if (!wanted.names.empty())
    good = good && add_extension(certificate, issuer, NID_subject_alt_name, alternative_names(wanted.names));
  return good;
}

bool set_subject(X509* certificate, const Wanted& wanted) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto add = [&](const char* field, const std::string& value) {
    return value.empty() ||
           X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  return add("O", wanted.organization) && add("CN", wanted.common_name);
}

bool set_serial(X509* certificate) {
  std::uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1) return false;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) == 1;
}

/// Signed by `authority`; by itself where that is null.
Result<Pair> issue(const Wanted& wanted, const Pair* authority, Time now) {
  Pair made{Certificate(X509_new()), Key(EVP_EC_gen("P-256"))};
  X509* certificate = made.certificate.get();
  const bool ready = made.key && certificate != nullptr && X509_set_version(certificate, X509_VERSION_3) == 1 &&
                     set_serial(certificate) && set_subject(certificate, wanted) &&
                     X509_set_pubkey(certificate, made.key.get()) == 1;
  if (!ready) return openssl_error("make a certificate for " + wanted.common_name);
  ASN1_TIME_set(X509_getm_notBefore(certificate), unix_time(now - kBackdated));
  ASN1_TIME_set(X509_getm_notAfter(certificate), unix_time(now + wanted.life));
  X509* issuer = authority != nullptr ? authority->certificate.get() : certificate;
  EVP_PKEY* signer = authority != nullptr ? authority->key.get() : made.key.get();
  if (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
      !add_extensions(certificate, issuer, wanted) || X509_sign(certificate, signer, EVP_sha256()) == 0)
    return openssl_error("sign a certificate for " + wanted.common_name);
  return made;
}

bool lives_on(X509* certificate, Time now) {
  time_t first = unix_time(now);
  time_t last = unix_time(now + kRenewBefore);
  return X509_cmp_time(X509_get0_notBefore(certificate), &first) < 0 &&
         X509_cmp_time(X509_get0_notAfter(certificate), &last) > 0;
}

bool is_for(X509* certificate, const std::string& name) {
  if (is_address(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  return X509_check_host(certificate, name.c_str(), name.size(), 0, nullptr) == 1;
}

bool still_good(const Pair& pair, const Wanted& wanted, const Pair* authority, Time now) {
  EVP_PKEY* signer = authority != nullptr ? authority->key.get() : pair.key.get();
  return X509_check_private_key(pair.certificate.get(), pair.key.get()) == 1 &&
         X509_verify(pair.certificate.get(), signer) == 1 && lives_on(pair.certificate.get(), now) &&
         std::all_of(wanted.names.begin(), wanted.names.end(),
                     [&](const std::string& name) { return is_for(pair.certificate.get(), name); });
}

/// Nothing where a file is missing or is not what it should be: it is made again then.
std::optional<Pair> load(const std::string& stem) {
  const auto certificate = read_file(stem + ".crt");
  const auto key = read_file(stem + ".key");
  if (!certificate || !key) return std::nullopt;
  Pair pair{Certificate(PEM_read_bio_X509(bio_of(*certificate).get(), nullptr, nullptr, nullptr)),
            Key(PEM_read_bio_PrivateKey(bio_of(*key).get(), nullptr, nullptr, nullptr))};
  ERR_clear_error();
  if (!pair.certificate || !pair.key) return std::nullopt;
  return pair;
}

/// The key first: a certificate without its key would look like a good pair to nobody, and is made again.
Result<void> store(const std::string& stem, const Pair& pair) {
  if (auto written = write_file(stem + ".key", pem_of(pair.key.get()), 0600); !written) return written;
  return write_file(stem + ".crt", pem_of(pair.certificate.get()), 0644);
}

Result<Pair> ensure(const std::string& directory, const Wanted& wanted, const Pair* authority, Time now,
                    bool& changed) {
  const std::string stem = directory + "/" + wanted.file;
  if (auto found = load(stem); found && still_good(*found, wanted, authority, now)) return std::move(*found);
  ERR_clear_error();
  auto made = issue(wanted, authority, now);
  if (!made) return made;
  if (auto stored = store(stem, *made); !stored) return tl::unexpected(stored.error());
  changed = true;
  return made;
}

}  // namespace

Result<Pki> ensure_pki(const std::string& data_dir, const std::vector<std::string>& names, Time now) {
  const std::string directory = data_dir + "/pki";
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return fail(ErrorKind::Internal, "make directory {}: {}", directory, error.message());
  ::chmod(directory.c_str(), 0700);

  Pki pki;
  const Wanted ca{"ca", "roadstead-ca", "", "",
                  {},   kAuthorityLife};  // unlike the server's, or that would look self-signed
  auto authority = ensure(directory, ca, nullptr, now, pki.changed);
  if (!authority) return tl::unexpected(authority.error());
  auto server = ensure(directory, {"server", "roadstead", "", "serverAuth", names}, &*authority, now, pki.changed);
  if (!server) return tl::unexpected(server.error());
  auto admin = ensure(directory, {"admin", "admin", "system:masters", "clientAuth", {}}, &*authority, now, pki.changed);
  if (!admin) return tl::unexpected(admin.error());

  pki.ca_certificate = pem_of(authority->certificate.get());
  pki.server_certificate = pem_of(server->certificate.get());
  pki.server_key = pem_of(server->key.get());
  pki.admin_certificate = pem_of(admin->certificate.get());
  pki.admin_key = pem_of(admin->key.get());
  return pki;
}

std::vector<std::string> server_names(const std::string& address) {
  std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0 && host[0] != '\0') names.emplace_back(host);
  if (!address.empty() && address != "0.0.0.0" && address != "::") names.push_back(address);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<void> write_admin_kubeconfig(const std::string& data_dir, const Pki& pki, const std::string& server) {
  const std::string content = fmt::format(
      "apiVersion: v1\n"
      "kind: Config\n"
      "clusters:\n"
      "- name: roadstead\n"
      "  cluster:\n"
      "    server: {}\n"
      "    certificate-authority-data: {}\n"
      "users:\n"
      "- name: admin\n"
      "  user:\n"
      "    client-certificate-data: {}\n"
      "    client-key-data: {}\n"
      "contexts:\n"
      "- name: roadstead\n"
      "  context: {{cluster: roadstead, user: admin}}\n"
      "current-context: roadstead\n",
      server, base64(pki.ca_certificate), base64(pki.admin_certificate), base64(pki.admin_key));
  const std::string path = data_dir + "/admin.kubeconfig";
  struct stat now {};
  const auto before = read_file(path);
  if (before && *before == content && ::stat(path.c_str(), &now) == 0 && (now.st_mode & 0777) == 0600) return {};
  return write_file(path, content, 0600);
}

}  // namespace roadstead::apiserver
