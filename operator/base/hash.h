#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace roadstead {

/// SHA-256 as 64 lower-case hex digits.
std::string sha256_hex(std::string_view data);

/// HKDF (RFC 5869) with SHA-256, no salt: `length` raw bytes bound to `info`.
std::string hkdf_sha256(std::string_view secret, std::string_view info, std::size_t length);

/// `bytes` random bytes from the system's generator, as lower-case hex.
std::string random_hex(std::size_t bytes);

/// A random (version 4) UUID in lower case.
std::string random_uuid();

std::string to_hex(std::string_view bytes);

}  // namespace roadstead
