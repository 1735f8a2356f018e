#include "crds/json_io.h"

#include <cmath>
#include <limits>

#include "operator/base/rfc3339.h"

namespace roadstead::crds {

bool deeper_than(const Json& value, int limit) {
  if (!value.is_structured()) return false;
  if (limit <= 0) return true;
  for (const Json& child : value)
    if (deeper_than(child, limit - 1)) return true;
  return false;
}

namespace io {
namespace {

std::string_view word_for(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "nothing";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      return "something else";
  }
  return "something else";
}

}  // namespace

void JsonReader::wanted(std::string_view what, const Json& found, const std::string& path) {
  set(fmt::format("{}{} is wanted, found {}", path.empty() ? "" : path + ": ", what, word_for(found)));
}

void JsonReader::read(const Json& from, std::string& to, const std::string& path) {
  if (!from.is_string()) return wanted("a string", from, path);
  to = from.get_ref<const std::string&>();
}

void JsonReader::read(const Json& from, bool& to, const std::string& path) {
  if (!from.is_boolean()) return wanted("a boolean", from, path);
  to = from.get<bool>();
}

void JsonReader::read(const Json& from, std::int64_t& to, const std::string& path) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (from.is_number_float()) {
    // 3.0 is a whole number for the schema as well; 2^53 is where a double stops telling neighbours apart.
    const double value = from.get<double>();
    if (value != std::floor(value) || std::abs(value) > 9007199254740992.0) return wanted("a whole number", from, path);
    to = static_cast<std::int64_t>(value);
  } else if (from.is_number_unsigned() && from.get<std::uint64_t>() > kMax) {
    set(path + ": the number is too large");
  } else if (from.is_number_integer()) {
    to = from.get<std::int64_t>();
  } else {
    wanted("a whole number", from, path);
  }
}

void JsonReader::read(const Json& from, Time& to, const std::string& path) {
  std::string text;
  read(from, text, path);
  if (!from.is_string()) return;
  if (const auto time = parse_rfc3339(text)) {
    to = *time;
  } else {
    set(path + ": " + time.error().message);
  }
}

void JsonReader::read(const Json& from, StringMap& to, const std::string& path) {
  if (!from.is_object()) return wanted("an object", from, path);
  to.clear();
  for (const auto& [key, value] : from.items()) read(value, to[key], fmt::format("{}.{}", path, key));
}

Json JsonWriter::write(Time value) { return format_rfc3339(value); }

}  // namespace io
}  // namespace roadstead::crds
