#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace roadstead::crds {

/// One thing that is wrong with an object, in the words of the Kubernetes API.
struct FieldError {
  std::string field;    ///< "spec.items[0].to.volume"; empty for the object as a whole.
  std::string reason;   ///< As in a Status' causes: FieldValueRequired, FieldValueInvalid, FieldValueTypeInvalid, ...
  std::string message;  ///< `Invalid value: 0: spec.keep in body should be greater than or equal to 1`; does not start
                        ///< with the field.
  std::string pointer;  ///< The same place as a JSON pointer, for finding its line.
  std::string hint;  ///< What to write instead, where that is known: `did you mean "keep"?`. Not part of the message.
};

inline constexpr std::string_view kUnknownField =
    "FieldValueUnknown";  ///< Reason of unknown_fields(); never in a Status.

/// "spec.keep: Invalid value: ..."
std::string to_string(const FieldError& error);
/// "Invalid value: ... (did you mean "keep"?)": without the field.
std::string message_with_hint(const FieldError& error);
/// All of them with their hints, as Kubernetes joins them: the one alone, or "[a, b]" of several.
std::string joined(const std::vector<FieldError>& errors);

/// A place in a value: a chain on the stack while walking down, made into text only when there is something to say.
class FieldPath {
 public:
  FieldPath() = default;  ///< The object itself.
  /// `parent` must outlive the child, as must the text of `key`.
  FieldPath(const FieldPath& parent, std::string_view key) : parent_(&parent), key_(key) {}
  FieldPath(const FieldPath& parent, std::size_t index) : parent_(&parent), index_(index), is_index_(true) {}

  [[nodiscard]] std::string field() const;    ///< "spec.items[0].name"
  [[nodiscard]] std::string pointer() const;  ///< "/spec/items/0/name"

 private:
  const FieldPath* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
  bool is_index_ = false;
};

FieldError invalid_value(const FieldPath& path, std::string_view value, std::string_view why);
FieldError required_value(const FieldPath& path, std::string_view why = {});

/// `text` in double quotes with JSON escapes, cut to a length a message can bear.
std::string quoted_value(std::string_view text);

}  // namespace roadstead::crds
