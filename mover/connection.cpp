#include "mover/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include "mover/address.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr const char* kCipherSuite = "TLS_AES_128_GCM_SHA256";
constexpr unsigned char kCipherId[] = {0x13, 0x01};
constexpr std::chrono::milliseconds kSlice = 100ms;  ///< How long a wait may take to notice that it should end.
constexpr int kBatch = 256 << 10;                    ///< Bytes of records that are written at once.

void expect(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(fmt::format("OpenSSL: {} failed", what));
}

std::string last_tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason ? reason : "no reason given";
}

void set_flag(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof on);
}

}  // namespace

Outcome<Key> parse_key(std::string_view hex) {
  while (!hex.empty() && (hex.back() == '\n' || hex.back() == '\r')) hex.remove_suffix(1);
  Key key{};
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  bool ok = hex.size() == 2 * key.size();
  for (std::size_t i = 0; ok && i < key.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    ok = high >= 0 && low >= 0;
    key[i] = static_cast<unsigned char>(high * 16 + low);
  }
  if (!ok)
    return failed("InvalidKey", "the key is not 64 lower-case hex digits",
                  "upload the transfer's key as /roadstead/key");
  return key;
}

// ---- Tls ------------------------------------------------------------------------------------------------------------

Tls::Tls(End end, const Key& key, std::string transfer)
    : end_(end),
      key_(key),
      transfer_(std::move(transfer)),
      context_(SSL_CTX_new(end == End::Server ? TLS_server_method() : TLS_client_method())) {
  expect(context_ != nullptr, "SSL_CTX_new");
  SSL_CTX* context = context_.get();
  expect(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1, "TLS 1.3");
  expect(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1, "TLS 1.3");
  expect(SSL_CTX_set_ciphersuites(context, kCipherSuite) == 1, "the cipher suite");
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Several records per system call: half the calls of a read per header and body.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, std::size_t{128} << 10);
  SSL_CTX_set_app_data(context, this);
  if (end == End::Server) {
    SSL_CTX_set_psk_find_session_callback(context, &Tls::find_session);
    return;
  }
  SSL_CTX_set_psk_use_session_callback(context, &Tls::use_session);
  // A server that would rather show a certificate than know the key is refused.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 0; });
}

SSL_SESSION* Tls::make_session(SSL* ssl) const {
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kCipherId);
  SSL_SESSION* session = SSL_SESSION_new();
  if (cipher && session && SSL_SESSION_set1_master_key(session, key_.data(), key_.size()) == 1 &&
      SSL_SESSION_set_cipher(session, cipher) == 1 && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
    return session;
  SSL_SESSION_free(session);
  return nullptr;
}

int Tls::use_session(SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* length, SSL_SESSION** out) {
  const auto* self = static_cast<const Tls*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  *out = self->make_session(ssl);
  *id = reinterpret_cast<const unsigned char*>(self->transfer_.data());
  *length = self->transfer_.size();
  return *out != nullptr ? 1 : 0;
}

int Tls::find_session(SSL* ssl, const unsigned char* id, std::size_t length, SSL_SESSION** out) {
  const auto* self = static_cast<const Tls*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const std::string_view identity(reinterpret_cast<const char*>(id), length);
  *out = identity == self->transfer_ ? self->make_session(ssl) : nullptr;
  return 1;  // an unknown identity goes on without a key, and fails because there is no certificate
}

// ---- Connection -----------------------------------------------------------------------------------------------------

Connection::Connection(Fd socket, const Tls& tls, Session& session)
    : socket_(std::move(socket)), session_(&session), peer_(peer_of(socket_.get())), ssl_(SSL_new(tls.context())) {
  expect(ssl_ != nullptr, "SSL_new");
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
  set_flag(socket_.get(), IPPROTO_TCP, TCP_NODELAY);
  set_flag(socket_.get(), SOL_SOCKET, SO_KEEPALIVE);
  expect(SSL_set_fd(ssl_.get(), socket_.get()) == 1, "SSL_set_fd");
}

Outcome<std::unique_ptr<Connection>> Connection::establish(Fd socket, const Tls& tls, Session& session,
                                                           std::chrono::milliseconds limit) {
  std::unique_ptr<Connection> connection(new Connection(std::move(socket), tls, session));
  if (auto done = connection->handshake(tls, Session::Clock::now() + limit); !done) return failed(done.error());
  connection->write_in_batches();
  connection->between_frames_ = true;
  return connection;
}

/// A record of 16 KiB a call would be a packet through every layer of two hosts' networks; many records are a few.
void Connection::write_in_batches() {
  BIO* socket_writer = SSL_get_wbio(ssl_.get());
  BIO* batch = BIO_new(BIO_f_buffer());
  expect(batch != nullptr && BIO_set_write_buffer_size(batch, kBatch) == 1, "BIO_f_buffer");
  expect(BIO_up_ref(socket_writer) == 1, "BIO_up_ref");
  SSL_set0_wbio(ssl_.get(), BIO_push(batch, socket_writer));
}

Outcome<void> Connection::handshake(const Tls& tls, Deadline deadline) {
  const auto refused = [&](const std::string& why) {
    return failed("HandshakeFailed", fmt::format("{}: {}", peer_, why),
                  "make sure that both movers belong to the same attempt of the same transfer");
  };
  for (;;) {
    ERR_clear_error();
    const int result = tls.end() == Tls::End::Server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get());
    if (result == 1) break;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      if (auto waited = wait_for(error, deadline); !waited) return waited;
      continue;
    }
    if (error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
      return refused(fmt::format("the key does not fit or the peer is no mover ({})", last_tls_error()));
    return failed(broken(error));
  }
  // Only the key makes a session count as reused; there is no other way in.
  if (SSL_session_reused(ssl_.get()) != 1) return refused("the peer did not prove that it knows the key");
  session_->heard();
  return {};
}

Outcome<void> Connection::send(std::span<const std::byte> frames) {
  between_frames_ = false;
  while (!frames.empty()) {
    ERR_clear_error();
    std::size_t written = 0;
    const std::size_t most = throttle_ != nullptr ? std::min(frames.size(), Throttle::kSlice) : frames.size();
    const int result = SSL_write_ex(ssl_.get(), frames.data(), most, &written);
    if (result == 1) {
      frames = frames.subspan(written);
      bytes_ += written;
      if (auto kept = keep_to_limit(written); !kept) return kept;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return failed(broken(error));
    if (auto ready = wait_to_send(error); !ready) return ready;
  }
  if (auto flushed = flush(); !flushed) return flushed;
  between_frames_ = true;
  last_sent_ = Session::Clock::now();
  return {};
}

/// What was written and is not with the kernel yet.
Outcome<void> Connection::flush() {
  BIO* writer = SSL_get_wbio(ssl_.get());
  while (BIO_flush(writer) != 1) {
    if (!BIO_should_retry(writer)) return failed(broken(SSL_ERROR_SYSCALL));
    if (auto ready = wait_to_send(SSL_ERROR_WANT_WRITE); !ready) return ready;
  }
  return {};
}

Outcome<void> Connection::wait_to_send(int wanted) {
  const auto since = Session::Clock::now();
  auto ready = wait_for(wanted, std::nullopt);
  waited_ += Session::Clock::now() - since;
  return ready;
}

Outcome<void> Connection::keep_to_limit(std::size_t bytes) {
  if (throttle_ == nullptr) return {};
  if (auto flushed = flush(); !flushed) return flushed;
  const auto since = Session::Clock::now();
  const auto until = throttle_->take(bytes, since);
  for (auto now = since; now < until; now = Session::Clock::now()) {
    if (auto why = session_->interruption()) return failed(std::move(*why));
    std::this_thread::sleep_for(std::min<Session::Clock::duration>(until - now, kSlice));
  }
  waited_ += Session::Clock::now() - since;
  return {};
}

Outcome<Frame> Connection::receive() { return receive_until(std::nullopt); }

Outcome<Frame> Connection::receive_within(std::chrono::milliseconds limit) {
  return receive_until(Session::Clock::now() + limit);
}

Outcome<Frame> Connection::receive_until(Deadline deadline) {
  std::array<std::byte, kFrameHeader> raw;
  if (auto done = read_exactly(raw, deadline); !done) return failed(done.error());
  const auto header = read_header(raw);
  if (!header) return failed(header.error());
  if (payload_.size() < header->length) payload_.resize(header->length);
  const std::span<std::byte> payload(payload_.data(), header->length);
  if (auto done = read_exactly(payload, deadline); !done) return failed(done.error());
  if (header->type != FrameType::Failure) return Frame{header->type, payload};
  auto failure = decode_failure(payload);
  if (!failure) return failed(failure.error());
  failure->message = "the other mover: " + failure->message;
  failure->from_peer = true;
  return failed(std::move(*failure));
}

Outcome<void> Connection::read_exactly(std::span<std::byte> out, Deadline deadline) {
  while (!out.empty()) {
    ERR_clear_error();
    std::size_t read = 0;
    const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &read);
    if (result == 1) {
      out = out.subspan(read);
      bytes_ += read;
      session_->heard();
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return failed(broken(error));
    if (auto waited = wait_for(error, deadline); !waited) return waited;
  }
  return {};
}

Outcome<void> Connection::wait_for(int wanted, Deadline deadline) {
  pollfd poll{socket_.get(), static_cast<short>(wanted == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN), 0};
  const auto since = Session::Clock::now();
  int unread = 0;
  for (;;) {
    // Who waits to be heard does not read: what the peer says meanwhile lies in the socket's buffer.
    int now = 0;
    if (::ioctl(socket_.get(), FIONREAD, &now) == 0 && now > std::exchange(unread, now)) session_->heard();
    if (auto why = session_->interruption(since)) return failed(std::move(*why));
    if (deadline && Session::Clock::now() > *deadline)
      return failed(connection_lost(fmt::format("{}: no answer in time", peer_)));
    const int ready = ::poll(&poll, 1, static_cast<int>(kSlice.count()));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return failed_call(errno, "wait for {}", peer_);
  }
}

Failure Connection::broken(int ssl_error) {
  const int error = errno;
  if (ssl_error == SSL_ERROR_SYSCALL && error != 0) {
    char buffer[128];
    return connection_lost(fmt::format("{}: {}", peer_, ::strerror_r(error, buffer, sizeof buffer)));
  }
  if (ssl_error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return connection_lost(fmt::format("{}: TLS broke: {}", peer_, last_tls_error()));
  return connection_lost(fmt::format("{}: the other mover closed the connection", peer_));
}

bool Connection::readable() const {
  if (SSL_has_pending(ssl_.get()) == 1) return true;
  pollfd poll{socket_.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

void Connection::say_goodbye(const Failure& failure) {
  if (!between_frames_) return;
  // The session is interrupted already, so this does its own short waits.
  const auto deadline = Session::Clock::now() + 2s;
  const Bytes frame = frame_of(FrameType::Failure, encode(failure));
  const auto wait = [&](short events) {
    pollfd poll{socket_.get(), events, 0};
    ::poll(&poll, 1, static_cast<int>(kSlice.count()));
  };
  std::size_t written = 0;
  while (SSL_write_ex(ssl_.get(), frame.data(), frame.size(), &written) != 1) {
    if (SSL_get_error(ssl_.get(), 0) != SSL_ERROR_WANT_WRITE || Session::Clock::now() > deadline) return;
    wait(POLLOUT);
  }
  while (BIO_flush(SSL_get_wbio(ssl_.get())) != 1) {
    if (!BIO_should_retry(SSL_get_wbio(ssl_.get())) || Session::Clock::now() > deadline) return;
    wait(POLLOUT);
  }
  // Unread bytes at close would reset the connection and could take the frame with them: read until the peer closes.
  ::shutdown(socket_.get(), SHUT_WR);
  std::array<char, 65536> sink;
  while (Session::Clock::now() < deadline) {
    const ssize_t n = ::recv(socket_.get(), sink.data(), sink.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (n < 0) wait(POLLIN);
  }
}

}  // namespace roadstead::mover
