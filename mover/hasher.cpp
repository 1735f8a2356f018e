#include "mover/hasher.h"

#include <stdexcept>

namespace roadstead::mover {
namespace {

void expect(bool ok) {
  if (!ok) throw std::runtime_error("SHA-256 is not available in this OpenSSL");
}

}  // namespace

Hasher::Hasher() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
  expect(algorithm_ && context_);
}

void Hasher::start() { expect(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1); }

void Hasher::add(std::span<const std::byte> data) {
  expect(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
}

Digest Hasher::finish() {
  Digest digest{};
  unsigned int length = 0;
  expect(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), &length) == 1);
  return digest;
}

}  // namespace roadstead::mover
