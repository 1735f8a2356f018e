#pragma once

#include <string>
#include <string_view>

namespace roadstead {

/// ASCII letters in lower case; everything else as it is.
std::string lower(std::string_view text);

bool equal_ignoring_case(std::string_view a, std::string_view b);

/// RFC 3986: everything but letters, digits, '-', '.', '_', '~' and `also_plain` as %XX.
std::string url_encoded(std::string_view text, std::string_view also_plain = {});

/// RFC 4648, with padding.
std::string base64(std::string_view data);

}  // namespace roadstead
