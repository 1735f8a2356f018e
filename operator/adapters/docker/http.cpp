#include "operator/adapters/docker/http.h"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>

namespace roadstead::docker {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr std::size_t kPiece = std::size_t{64} << 10;  // bytes of body handed out at once, and read at once
constexpr std::uint32_t kHeaderLimit = 64 * 1024;      // bytes of an answer's head
constexpr std::size_t kInputLimit = std::size_t{2} * kHeaderLimit;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string head_of(const HttpRequest& request, const std::string& host, bool keep) {
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: roadstead\r\n", request.method, request.target, host);
  bool says_connection = false;
  for (const auto& [name, value] : request.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
    says_connection = says_connection || boost::beast::iequals(name, "connection");
  }
  if (!keep && !says_connection) head += "Connection: close\r\n";
  if (request.upload) {
    head += "Transfer-Encoding: chunked\r\n";
  } else if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    head += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  return head + "\r\n";
}

/// A stream whose first bytes were read already.
class PrefixedStream final : public ByteStream {
 public:
  PrefixedStream(std::vector<std::byte> first, std::unique_ptr<ByteStream> stream)
      : first_(std::move(first)), stream_(std::move(stream)) {}

  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override {
    if (at_ == first_.size()) return stream_->read_some(into, limits);
    const auto count = std::min(into.size(), first_.size() - at_);
    std::memcpy(into.data(), first_.data() + at_, count);
    at_ += count;
    return count;
  }
  Result<void> write_all(std::span<const std::byte> from, const Limits& limits) override {
    return stream_->write_all(from, limits);
  }
  Result<void> end_of_writes() override { return stream_->end_of_writes(); }

 private:
  std::vector<std::byte> first_;
  std::size_t at_ = 0;
  std::unique_ptr<ByteStream> stream_;
};

}  // namespace

/// Idle connections, newest last. Outlives its client while answers are being read.
class HttpClient::Pool {
 public:
  Pool(std::size_t idle_max, std::chrono::seconds idle_for, SteadyNow now)
      : idle_max_(idle_max), idle_for_(idle_for), now_(std::move(now)) {}

  /// A connection that is still open, or null.
  std::unique_ptr<ByteStream> take() {
    for (;;) {
      auto stream = pop();
      if (!stream || is_quiet(*stream)) return stream;
    }
  }

  void give_back(std::unique_ptr<ByteStream> stream) {
    std::vector<Idle> dropped;  // closed outside the lock
    std::lock_guard lock(mutex_);
    drop_old(dropped);
    if (closed_ || idle_.size() >= idle_max_) return;
    idle_.push_back({std::move(stream), now_()});
  }

  void close() {
    std::vector<Idle> dropped;
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(idle_);
  }

 private:
  struct Idle {
    std::unique_ptr<ByteStream> stream;
    std::chrono::steady_clock::time_point since;
  };

  std::unique_ptr<ByteStream> pop() {
    std::vector<Idle> dropped;
    std::lock_guard lock(mutex_);
    drop_old(dropped);
    if (idle_.empty()) return nullptr;
    auto stream = std::move(idle_.back().stream);
    idle_.pop_back();
    return stream;
  }

  void drop_old(std::vector<Idle>& dropped) {
    const auto oldest = now_() - idle_for_;
    const auto fresh = std::find_if(idle_.begin(), idle_.end(), [&](const Idle& idle) { return idle.since > oldest; });
    std::move(idle_.begin(), fresh, std::back_inserter(dropped));
    idle_.erase(idle_.begin(), fresh);
  }

  /// An idle connection has nothing to say: what can be read, an end or an error means it is of no more use.
  static bool is_quiet(ByteStream& stream) {
    std::byte one;
    Limits at_once;
    at_once.idle = std::chrono::milliseconds{0};
    const auto got = stream.read_some({&one, 1}, at_once);
    return !got && got.error().kind == ErrorKind::Timeout;
  }

  const std::size_t idle_max_;
  const std::chrono::seconds idle_for_;
  const SteadyNow now_;
  std::mutex mutex_;  // guards the two below
  std::vector<Idle> idle_;
  bool closed_ = false;
};

/// One connection with the answer that is being read from it. The parser does no I/O: it is fed from `input_`.
class HttpConnection {
 public:
  HttpConnection(std::unique_ptr<ByteStream> stream, std::shared_ptr<HttpClient::Pool> pool)
      : stream_(std::move(stream)), pool_(std::move(pool)) {
    parser_.eager(false);
    parser_.header_limit(kHeaderLimit);
    // boost::none would reject every Content-Length in Boost 1.74.
    parser_.body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  ByteStream& stream() { return *stream_; }
  [[nodiscard]] bool answered() const { return answered_; }
  [[nodiscard]] int status() const { return static_cast<int>(parser_.get().result_int()); }
  [[nodiscard]] std::string header(std::string_view name) const {
    const auto value = parser_.get()[boost::beast::string_view(name.data(), name.size())];
    return {value.data(), value.size()};
  }

  Result<void> read_head(bool no_body, const Limits& limits) {
    parser_.skip(no_body);
    while (!parser_.is_header_done()) {
      if (auto fed = feed(); !fed) return fed;
      if (parser_.is_header_done()) break;
      const auto more = read_more(limits);
      if (!more) return tl::unexpected(more.error());
      if (*more == 0) return fail(ErrorKind::Unavailable, "the engine closed the connection without an answer");
    }
    return {};
  }

  Result<std::span<const std::byte>> next_piece(const Limits& limits) {
    output_.resize(kPiece);
    auto& body = parser_.get().body();
    for (;;) {
      if (parser_.is_done()) {
        finish();
        return std::span<const std::byte>{};
      }
      body.data = output_.data();
      body.size = output_.size();
      body.more = true;
      if (auto fed = feed(); !fed) return tl::unexpected(fed.error());
      if (const auto count = output_.size() - body.size; count > 0)
        return std::span<const std::byte>(output_).first(count);
      if (parser_.is_done()) continue;
      auto more = read_more(limits);
      if (!more) return tl::unexpected(more.error());
      if (*more > 0) continue;
      error_code error;
      parser_.put_eof(error);
      if (error) return fail(ErrorKind::Unavailable, "the engine's answer was cut short");
    }
  }

  std::unique_ptr<ByteStream> take_stream() {
    std::vector<std::byte> rest(input_.begin() + static_cast<std::ptrdiff_t>(begin_), input_.end());
    return std::make_unique<PrefixedStream>(std::move(rest), std::move(stream_));
  }

 private:
  /// Gives the parser what was read, as far as it takes it without a new output buffer.
  Result<void> feed() {
    while (begin_ < input_.size() && !parser_.is_done()) {
      const bool in_head = !parser_.is_header_done();
      error_code error;
      const auto used = parser_.put(boost::asio::buffer(input_.data() + begin_, input_.size() - begin_), error);
      begin_ += used;
      if (error == http::error::need_more || error == http::error::need_buffer) return {};
      if (error) return fail(ErrorKind::Unavailable, "the engine's answer is not HTTP: {}", error.message());
      // A head that has just ended must be looked at before its body is taken.
      if (used == 0 || (in_head && parser_.is_header_done()) || parser_.get().body().size == 0) return {};
    }
    return {};
  }

  Result<std::size_t> read_more(const Limits& limits) {
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
    const auto held = input_.size();
    if (held > kInputLimit) return fail(ErrorKind::Unavailable, "the engine's answer is not HTTP: a line without end");
    input_.resize(held + kPiece);
    auto got = stream_->read_some(std::span(input_).subspan(held), limits);
    input_.resize(held + (got ? *got : 0));
    answered_ = answered_ || (got && *got > 0);
    return got;
  }

  /// After the body's last byte: back to the pool with a connection that can be used again.
  void finish() {
    if (!stream_) return;
    if (pool_ && parser_.keep_alive() && begin_ == input_.size() && status() != 101)
      pool_->give_back(std::move(stream_));
    stream_.reset();
  }

  std::unique_ptr<ByteStream> stream_;
  std::shared_ptr<HttpClient::Pool> pool_;  // null: not to be used again
  http::response_parser<http::buffer_body> parser_;
  std::vector<std::byte> input_;  // read and not yet parsed, from begin_ on
  std::size_t begin_ = 0;
  std::vector<std::byte> output_;
  bool answered_ = false;
};

HttpReply::HttpReply(std::unique_ptr<HttpConnection> connection) : connection_(std::move(connection)) {}
HttpReply::HttpReply(HttpReply&&) noexcept = default;
HttpReply& HttpReply::operator=(HttpReply&&) noexcept = default;
HttpReply::~HttpReply() = default;
int HttpReply::status() const { return connection_->status(); }
std::string HttpReply::header(std::string_view name) const { return connection_->header(name); }
Result<std::span<const std::byte>> HttpReply::next_piece(const Limits& limits) {
  return connection_->next_piece(limits);
}

Result<std::string> HttpReply::rest(std::size_t at_most, const Limits& limits) {
  std::string text;
  for (;;) {
    auto piece = next_piece(limits);
    if (!piece) return tl::unexpected(piece.error());
    if (piece->empty()) return text;
    if (text.size() + piece->size() > at_most)
      return fail(ErrorKind::Invalid, "the engine's answer is longer than {} bytes", at_most);
    text.append(reinterpret_cast<const char*>(piece->data()), piece->size());
  }
}

std::unique_ptr<ByteStream> HttpReply::take_stream() && { return connection_->take_stream(); }

namespace {

Result<void> send_chunks(ByteStream& stream, const ByteSource& source, const Limits& limits,
                         std::optional<Error>& source_error) {
  for (;;) {
    auto piece = source();
    if (!piece) {
      source_error = piece.error();
      return tl::unexpected(piece.error());
    }
    if (auto sent = stream.write_all(bytes_of(fmt::format("{:x}\r\n", piece->size())), limits); !sent) return sent;
    if (auto sent = stream.write_all(*piece, limits); !sent) return sent;
    if (auto sent = stream.write_all(bytes_of("\r\n"), limits); !sent) return sent;
    if (piece->empty()) return {};
  }
}

Result<void> send_request(ByteStream& stream, const std::string& head, const HttpRequest& request, const Limits& limits,
                          std::optional<Error>& source_error) {
  if (!request.upload) return stream.write_all(bytes_of(head + request.body), limits);
  if (auto sent = stream.write_all(bytes_of(head), limits); !sent) return sent;
  return send_chunks(stream, request.upload, limits, source_error);
}

}  // namespace

HttpClient::HttpClient(std::shared_ptr<Transport> transport, std::size_t idle_max, std::chrono::seconds idle_for,
                       SteadyNow now)
    : transport_(std::move(transport)), pool_(std::make_shared<Pool>(idle_max, idle_for, std::move(now))) {}

HttpClient::~HttpClient() { pool_->close(); }

Result<HttpReply> HttpClient::send(const HttpRequest& request, const Limits& limits) {
  const bool harmless = request.method == "GET" || request.method == "HEAD";
  if (auto stream = pool_->take()) {
    bool answered = false;
    auto reply = send_on(std::move(stream), request, limits, true, &answered);
    if (reply || answered || !harmless || reply.error().kind != ErrorKind::Unavailable) return reply;
  }
  auto stream = transport_->open(limits);
  if (!stream) return tl::unexpected(stream.error());
  return send_on(std::move(*stream), request, limits, true, nullptr);
}

Result<HttpReply> HttpClient::send_dedicated(const HttpRequest& request, const Limits& limits) {
  auto stream = transport_->open(limits);
  if (!stream) return tl::unexpected(stream.error());
  return send_on(std::move(*stream), request, limits, false, nullptr);
}

Result<HttpReply> HttpClient::send_on(std::unique_ptr<ByteStream> stream, const HttpRequest& request,
                                      const Limits& limits, bool pooled, bool* answered) {
  auto connection = std::make_unique<HttpConnection>(std::move(stream), pooled ? pool_ : nullptr);
  std::optional<Error> source_error;
  const auto sent = send_request(connection->stream(), head_of(request, transport_->host_header(), pooled), request,
                                 limits, source_error);
  if (source_error) return tl::unexpected(*source_error);
  // An engine that refuses an upload answers and closes before it has read everything: the answer says why.
  if (!sent && sent.error().kind != ErrorKind::Unavailable) return tl::unexpected(sent.error());
  const auto head = connection->read_head(request.method == "HEAD", limits);
  if (answered) *answered = connection->answered();
  if (!head) return tl::unexpected(sent ? head.error() : sent.error());
  return HttpReply(std::move(connection));
}

std::string query_of(const Parameters& parameters) {
  std::string query;
  for (const auto& [name, value] : parameters) {
    query += query.empty() ? '?' : '&';
    query += url_encoded(name) + '=' + url_encoded(value);
  }
  return query;
}

}  // namespace roadstead::docker
