#pragma once

// Inside of the room only: how the values of the kinds are read from JSON and written to it. Each struct says its
// fields once, in a function template `fields(io, value)`; JsonReader and JsonWriter both walk it, so that there and
// back cannot drift apart.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "crds/enum_names.h"
#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::crds {

using Json = nlohmann::json;

/// True if `value` has lists or objects nested deeper than `limit`; looks no deeper than that.
bool deeper_than(const Json& value, int limit);

namespace io {

inline constexpr int kMaxDepth = 100;

using StringMap = std::map<std::string, std::string>;

/// A struct of ours that has `fields`; everything else is read and written by an overload of its own.
template <class T>
inline constexpr bool is_record = std::is_class_v<T>;
template <>
inline constexpr bool is_record<std::string> = false;
template <>
inline constexpr bool is_record<Time> = false;
template <>
inline constexpr bool is_record<StringMap> = false;
template <class T>
inline constexpr bool is_record<std::vector<T>> = false;
template <class T>
inline constexpr bool is_record<std::optional<T>> = false;

/// The first error of a whole reading; later ones are not kept.
struct ReadError {
  std::optional<std::string> message;
};

class JsonReader {
 public:
  /// `object` and `error` must outlive the reader; `path` ("spec.items[0]") is where `object` stands, empty at the
  /// root.
  JsonReader(const Json& object, std::string path, ReadError& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object_.is_object()) wanted("an object", object_, path_);
  }

  template <class T>
  void required(const char* name, T& value) {
    if (const Json* found = find(name)) return read(*found, value, at(name));
    set(at(name) + ": is missing");
  }
  template <class T>
  void field(const char* name, T& value) {
    if (const Json* found = find(name)) read(*found, value, at(name));
  }
  template <class T>
  void optional(const char* name, T& value) {
    field(name, value);
  }
  void json_text(const char* name, std::string& text) {
    const Json* found = find(name);
    if (found == nullptr) return;
    if (!found->is_object()) return wanted("an object", *found, at(name));
    if (deeper_than(*found, kMaxDepth)) return set(at(name) + ": is nested too deeply");
    text = found->dump(-1, ' ', false, Json::error_handler_t::replace);
  }

 private:
  const Json* find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string at(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }
  void set(std::string message) {
    if (!error_.message) error_.message = std::move(message);
  }
  void wanted(std::string_view what, const Json& found, const std::string& path);

  void read(const Json& from, std::string& to, const std::string& path);
  void read(const Json& from, bool& to, const std::string& path);
  void read(const Json& from, std::int64_t& to, const std::string& path);
  void read(const Json& from, Time& to, const std::string& path);
  void read(const Json& from, StringMap& to, const std::string& path);

  template <NamedEnum E>
  void read(const Json& from, E& to, const std::string& path) {
    std::string text;
    read(from, text, path);
    if (error_.message) return;
    if (const auto value = from_string<E>(text)) {
      to = *value;
    } else {
      set(fmt::format("{}: \"{}\" is not known", path, text));
    }
  }
  template <class T>
  void read(const Json& from, std::optional<T>& to, const std::string& path) {
    read(from, to.emplace(), path);
  }
  template <class T>
  void read(const Json& from, std::vector<T>& to, const std::string& path) {
    if (!from.is_array()) return wanted("a list", from, path);
    to.clear();
    to.reserve(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) read(from[i], to.emplace_back(), fmt::format("{}[{}]", path, i));
  }
  template <class T>
  requires is_record<T>
  void read(const Json& from, T& to, const std::string& path) {
    JsonReader inner(from, path, error_);
    fields(inner, to);
  }

  const Json& object_;
  std::string path_;
  ReadError& error_;
};

class JsonWriter {
 public:
  JsonWriter() : object_(Json::object()) {}

  template <class T>
  void required(const char* name, T& value) {
    object_[name] = write(value);
  }
  template <class T>
  void field(const char* name, T& value) {
    object_[name] = write(value);
  }
  template <class T>
  void optional(const char* name, T& value) {
    if (!is_empty(value)) object_[name] = write(value);
  }
  void json_text(const char* name, std::string& text) {
    if (text.empty()) return;
    Json parsed = Json::parse(text, nullptr, false);
    // Never ours: what is there was written by json_text or by a step, as an object. Better lost than a broken status.
    if (parsed.is_object() && !deeper_than(parsed, kMaxDepth)) object_[name] = std::move(parsed);
  }

  Json take() { return std::move(object_); }

 private:
  static bool is_empty(const std::string& value) { return value.empty(); }
  static bool is_empty(bool value) { return !value; }
  static bool is_empty(std::int64_t value) { return value == 0; }
  static bool is_empty(const StringMap& value) { return value.empty(); }
  template <class T>
  static bool is_empty(const std::optional<T>& value) {
    return !value.has_value();
  }
  template <class T>
  static bool is_empty(const std::vector<T>& value) {
    return value.empty();
  }

  static Json write(const std::string& value) { return value; }
  static Json write(bool value) { return value; }
  static Json write(std::int64_t value) { return value; }
  static Json write(Time value);
  static Json write(const StringMap& value) { return Json(value); }
  template <NamedEnum E>
  static Json write(E value) {
    return std::string(to_string(value));
  }
  template <class T>
  static Json write(std::optional<T>& value) {
    return value ? write(*value) : Json();
  }
  template <class T>
  static Json write(std::vector<T>& values) {
    Json out = Json::array();
    for (T& value : values) out.push_back(write(value));
    return out;
  }
  template <class T>
  requires is_record<T>
  static Json write(T& value) {
    JsonWriter inner;
    fields(inner, value);
    return inner.take();
  }

  Json object_;
};

/// Reads a whole object of kind `T`, metadata included.
template <class T>
Result<T> read_object(const Json& object);

/// Writes a whole object of kind `T`.
template <class T>
Json write_object(const T& object);

}  // namespace io
}  // namespace roadstead::crds
