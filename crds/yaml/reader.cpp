#include "crds/yaml/reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <optional>
#include <streambuf>
#include <utility>

#include "crds/field_error.h"
#include "crds/yaml/builder.h"
#include "crds/yaml/scalar.h"

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;

/// Where byte `offset` of `text` stands; the column counts bytes, from 1.
Mark mark_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1;
  const std::size_t newline = before.rfind('\n');
  return {line, newline == before.npos ? before.size() + 1 : before.size() - newline, {}};
}

std::string_view line_of(std::string_view text, std::size_t line) {
  for (; line > 1; --line) text = text.substr(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find('\n'));
}

/// Bytes of the UTF-8 character at `at`, 0 where there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf5 ? 0 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || text.size() - at < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) > 0x9f;
  const bool beyond = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

void check_text(std::string_view text) {
  if (text.size() > kMaxManifestBytes)
    throw ReadProblem{0,
                      0,
                      {},
                      fmt::format("the file has {} bytes, more than the {} that a manifest may have", text.size(),
                                  kMaxManifestBytes)};
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text, at);
    const bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
    if (length == 0 || control) {
      const Mark mark = mark_at(text, at);
      throw ReadProblem{
          mark.line, mark.column, {}, fmt::format("this is no text file in UTF-8: it holds the byte 0x{:02x}", byte)};
    }
    at += length;
  }
}

// ---- YAML
// -------------------------------------------------------------------------------------------------------------

Mark mark_of_event(const YAML::Mark& mark) {
  if (mark.is_null()) return {1, 1, {}};
  return {static_cast<std::size_t>(mark.line) + 1, static_cast<std::size_t>(mark.column) + 1, {}};
}

constexpr std::string_view kYamlTag = "tag:yaml.org,2002:";

/// From yaml-cpp's events to the builder.
class YamlEvents final : public YAML::EventHandler {
 public:
  std::vector<Document> documents;

  void OnDocumentStart(const YAML::Mark& mark) override { builder_.begin_document(mark_of_event(mark)); }
  void OnDocumentEnd() override {
    Document document = builder_.end_document();
    if (!document.value.is_null()) documents.push_back(std::move(document));
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { plain("", mark_of_event(mark), anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { builder_.alias(anchor, mark_of_event(mark)); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const Mark at = mark_of_event(mark);
    if (tag == "?" || tag.empty()) return plain(value, at, anchor);
    if (tag != "!" && tag != std::string(kYamlTag) + "str") refuse_tag(tag, at);
    if (builder_.wants_key()) return builder_.key(value, at);
    builder_.scalar(value, at, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(false, "seq", tag, mark_of_event(mark), anchor);
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(true, "map", tag, mark_of_event(mark), anchor);
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  void begin(bool is_map, const char* own_tag, const std::string& tag, Mark mark, YAML::anchor_t anchor) {
    const bool plain_tag = tag.empty() || tag == "?" || tag == "!" || tag == std::string(kYamlTag) + own_tag;
    if (!plain_tag) refuse_tag(tag, mark);
    builder_.begin(is_map, std::move(mark), anchor);
  }

  void plain(const std::string& text, Mark mark, YAML::anchor_t anchor) {
    if (builder_.wants_key() && text == "<<") builder_.refuse(mark, "merge keys (<<) are not supported");
    auto value = plain_scalar(text);
    if (!value) builder_.refuse(mark, value.error());
    if (builder_.wants_key()) return builder_.key(key_text(*value, mark), mark);
    if (!value->is_string() && !value->is_null()) mark.unquoted = text;
    builder_.scalar(std::move(*value), mark, anchor);
  }

  std::string key_text(const Json& value, const Mark& mark) {
    if (value.is_null()) builder_.refuse(mark, "a key is missing before the colon");
    return value.is_string() ? value.get<std::string>() : value.dump();
  }

  [[noreturn]] void refuse_tag(const std::string& tag, const Mark& mark) {
    builder_.refuse(mark, fmt::format("the tag {} is not supported", quoted_value(tag)));
  }

  ValueBuilder builder_;
};

/// Lets yaml-cpp read the text where it is.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // only read from
    setg(begin, begin, begin + text.size());
  }
};

bool is_indented_by_tab(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return line.substr(0, first).find('\t') != std::string_view::npos;
}

/// yaml-cpp notices a tab where the line ends up making no sense, which may be one line later.
ReadProblem problem_of(const YAML::Exception& exception, std::string_view text) {
  const Mark mark = mark_of_event(exception.mark);
  for (const std::size_t line : {mark.line, mark.line > 1 ? mark.line - 1 : mark.line})
    if (is_indented_by_tab(line_of(text, line)))
      return {line, line_of(text, line).find('\t') + 1, {}, "the line is indented with a tab, use spaces"};
  return {mark.line, mark.column, {}, "this is not valid YAML: " + exception.msg};
}

std::vector<Document> read_yaml(std::string_view text) {
  TextBuffer buffer(text);
  std::istream stream(&buffer);
  YamlEvents events;
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const YAML::Exception& exception) {
    throw problem_of(exception, text);
  }
  return std::move(events.documents);
}

// ---- JSON
// -------------------------------------------------------------------------------------------------------------

/// Walks the text and tells how far the parser has come.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    *reached_ = at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

/// From nlohmann's events to the builder. Marks stand where a token ends but for keys, whose beginning is looked up.
class JsonEvents final : public nlohmann::json_sax<Json> {
 public:
  JsonEvents(std::string_view text, const char* const* reached) : text_(text), reached_(reached) {}

  ValueBuilder builder;
  std::optional<ReadProblem> problem;

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_unsigned(number_unsigned_t v) override {
    constexpr auto kMax = static_cast<number_unsigned_t>(std::numeric_limits<number_integer_t>::max());
    return v <= kMax ? value(static_cast<number_integer_t>(v)) : value(v);
  }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool string(string_t& v) override { return value(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    return guarded([&] { builder.begin(true, here()); });
  }
  bool start_array(std::size_t) override {
    return guarded([&] { builder.begin(false, here()); });
  }
  bool end_object() override {
    return guarded([&] { builder.end(); });
  }
  bool end_array() override {
    return guarded([&] { builder.end(); });
  }
  bool key(string_t& name) override {
    return guarded([&] { builder.key(name, key_mark()); });
  }

  bool parse_error(std::size_t, const std::string& token, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value - ..."
    std::string_view what = error.what();
    const std::size_t detail = what.find(" - ");
    what = detail == what.npos ? what.substr(what.find("] ") + 2) : what.substr(detail + 3);
    const Mark mark = here();
    problem = ReadProblem{mark.line, mark.column, builder.field(),
                          fmt::format("this is not valid JSON: {}", what.substr(0, what.find("; last read")))};
    static_cast<void>(token);
    return false;
  }

 private:
  template <class T>
  bool value(T&& v) {
    return guarded([&] { builder.scalar(Json(std::forward<T>(v)), here()); });
  }

  template <class Fn>
  bool guarded(Fn&& fn) {
    try {
      fn();
      return true;
    } catch (ReadProblem& caught) {
      problem = std::move(caught);
      return false;
    }
  }

  [[nodiscard]] std::size_t offset() const { return static_cast<std::size_t>(*reached_ - text_.data()); }

  /// Lines are counted from the last mark on: looking from the beginning each time would be quadratic.
  [[nodiscard]] Mark mark_from_last(std::size_t at) {
    if (at < last_offset_) return mark_at(text_, at);
    for (; last_offset_ < at; ++last_offset_) {
      if (text_[last_offset_] != '\n') continue;
      ++last_line_;
      line_begin_ = last_offset_ + 1;
    }
    return {last_line_, at - line_begin_ + 1, {}};
  }
  [[nodiscard]] Mark here() { return mark_from_last(offset() == 0 ? 0 : offset() - 1); }

  /// The parser stands behind the closing quote; the opening one is the last that no odd number of backslashes
  /// precedes.
  [[nodiscard]] Mark key_mark() {
    std::size_t at = offset() < 2 ? 0 : offset() - 2;
    const auto is_opening = [&] {
      if (text_[at] != '"') return false;
      std::size_t slashes = 0;
      while (slashes < at && text_[at - slashes - 1] == '\\') ++slashes;
      return slashes % 2 == 0;
    };
    while (at > 0 && !is_opening()) --at;
    return mark_from_last(at);
  }

  std::string_view text_;
  const char* const* reached_;
  std::size_t last_offset_ = 0;
  std::size_t last_line_ = 1;
  std::size_t line_begin_ = 0;
};

std::vector<Document> read_json(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<Document> documents;
  std::size_t at = text.find_first_not_of(kSpace);
  const char* reached = text.data();
  JsonEvents events(text, &reached);
  while (at < text.size()) {
    reached = text.data() + at;
    events.builder.begin_document(mark_at(text, at));
    const CountingIterator begin(text.data() + at, &reached), end(text.data() + text.size(), &reached);
    if (!Json::sax_parse(begin, end, &events, Json::input_format_t::json, false)) {
      if (events.problem) throw *events.problem;
      throw ReadProblem{0, 0, {}, "this is not valid JSON"};
    }
    documents.push_back(events.builder.end_document());
    at = std::min(text.find_first_not_of(kSpace, static_cast<std::size_t>(reached - text.data())), text.size());
  }
  return documents;
}

bool is_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && (text[first] == '{' || text[first] == '[');
}

void check_sizes(const std::vector<Document>& documents) {
  for (const Document& document : documents) {
    const std::size_t bytes = document.value.dump().size();
    if (bytes <= kMaxDocumentBytes) continue;
    const Mark& mark = document.mark_of("");
    throw ReadProblem{
        mark.line,
        mark.column,
        {},
        fmt::format("the document has {} bytes, more than the {} that an object may have", bytes, kMaxDocumentBytes)};
  }
}

}  // namespace

std::string to_string(const Diagnostic& d) {
  std::string out = d.file;
  if (d.line > 0) out += fmt::format(":{}:{}", d.line, d.column);
  if (!out.empty()) out += ": ";
  if (!d.field.empty()) out += d.field + ": ";
  return out + d.message;
}

const Mark& Document::mark_of(std::string_view pointer) const {
  static const Mark kNowhere;
  while (true) {
    if (const auto found = marks.find(std::string(pointer)); found != marks.end() && found->second.line > 0)
      return found->second;
    const std::size_t slash = pointer.rfind('/');
    if (slash == pointer.npos) return kNowhere;
    pointer = pointer.substr(0, slash);
  }
}

tl::expected<std::vector<Document>, Diagnostic> read_manifests(std::string_view text, std::string_view source_name) {
  const auto refused = [&](const ReadProblem& p) {
    return tl::unexpected(Diagnostic{std::string(source_name), p.line, p.column, p.field, p.message});
  };
  try {
    check_text(text);
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    std::vector<Document> documents = is_json(text) ? read_json(text) : read_yaml(text);
    check_sizes(documents);
    return documents;
  } catch (const ReadProblem& problem) {
    return refused(problem);
  } catch (const std::exception& exception) {
    return refused({0, 0, {}, fmt::format("the text cannot be read: {}", exception.what())});
  }
}

}  // namespace roadstead::crds
