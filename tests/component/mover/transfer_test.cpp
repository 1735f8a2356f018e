// Two ends of a transfer over real sockets on the loopback, and peers that do not mean well.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "mover/address.h"
#include "mover/copy.h"
#include "mover/link.h"
#include "mover/repository/manifest.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace testing;
using namespace std::chrono_literals;

Key key_of(unsigned char byte) {
  Key key{};
  key.fill(byte);
  return key;
}

const Key kKey = key_of(7);

Link link_to(std::uint16_t port, int connections = 1) {
  Link link;
  link.address = "127.0.0.1";
  link.port = port;
  link.connections = connections;
  link.transfer = "default.uat.db/copy.1";
  link.wait_seconds = 5;
  return link;
}

/// A listener on any free port, with the link that reaches it.
struct Door {
  explicit Door(int connections = 1)
      : listener(Listener::open(link_to(0)).value()), link(link_to(listener.port(), connections)) {}
  Listener listener;
  Link link;
};

/// One end's session, with limits fit for a test.
struct End {
  explicit End(std::chrono::milliseconds idle = 20s) : session(stop.get_token(), idle) {}
  std::stop_source stop;
  Session session;
  Meter meter;
};

class Transfer : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(scratch_ / "volume/_data"); }

  Scratch scratch_;
  Source source_{scratch_.str() + "/source", {}, std::nullopt};
  Target target_{scratch_.str() + "/volume", "default.uat.db"};
  fs::path tree_ = scratch_ / "volume/.roadstead/default.uat.db/tree";

  [[nodiscard]] Copy sending() const { return {.role = Role::Send, .source = source_}; }
  /// Into the staged tree, or into a snapshot where a test names one.
  [[nodiscard]] Copy receiving() const {
    if (snapshot_) return {.role = Role::Receive, .snapshot = snapshot_};
    return {.role = Role::Receive, .target = target_};
  }
  std::optional<Snapshot> snapshot_;
};

// ---- both directions
// -------------------------------------------------------------------------------------------------

struct Way {
  bool sender_serves;
  int connections;
};

class EveryWay : public Transfer, public ::testing::WithParamInterface<Way> {
 protected:
  struct Both {
    CopyEnd sent;
    CopyEnd received;
  };

  Both transfer() {
    Door door(GetParam().connections);
    End serving, calling;
    const auto run = [&](Linked& linked, Side side, End& end) {
      return side == Side::Send ? send_tree(sending(), linked, end.session, end.meter)
                                : receive_tree(receiving(), linked, end.session, end.meter);
    };
    const Side server = GetParam().sender_serves ? Side::Send : Side::Receive;
    const Side caller = GetParam().sender_serves ? Side::Receive : Side::Send;
    auto served = std::async(std::launch::async, [&] {
      auto linked = std::move(door.listener).accept(door.link, kKey, Purpose::Copy, server, serving.session);
      return linked ? run(*linked, server, serving) : CopyEnd{{}, linked.error()};
    });
    auto linked = call(door.link, kKey, Purpose::Copy, caller, calling.session);
    CopyEnd called = linked ? run(*linked, caller, calling) : CopyEnd{{}, linked.error()};
    linked = failed(cancelled());  // closes the connections
    CopyEnd other = served.get();
    return GetParam().sender_serves ? Both{std::move(other), std::move(called)}
                                    : Both{std::move(called), std::move(other)};
  }
};

TEST_P(EveryWay, TheCopyIsEqualInEverything) {
  make_tree(scratch_ / "source");
  const Both ends = transfer();
  ASSERT_FALSE(ends.received.failure) << ends.received.failure->message;
  ASSERT_FALSE(ends.sent.failure) << ends.sent.failure->message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
  EXPECT_EQ(ends.received.data.bytes_sent, ends.sent.data.bytes_sent);
  EXPECT_EQ(ends.sent.data.bytes_done, ends.sent.data.bytes_total);
  EXPECT_EQ(ends.sent.data.files_done, ends.sent.data.files_total);
  EXPECT_EQ(ends.received.data.tree_inode, inode_of(tree_));
  EXPECT_LT(ends.sent.data.bytes_sent, ends.sent.data.bytes_total) << "zeros are not sent";
}

TEST_P(EveryWay, ASecondAttemptSendsNothingThatWasVerified) {
  make_tree(scratch_ / "source");
  ASSERT_FALSE(transfer().received.failure);
  const Both again = transfer();
  ASSERT_FALSE(again.received.failure) << again.received.failure->message;
  EXPECT_EQ(again.sent.data.bytes_sent, 0U);
  EXPECT_EQ(again.sent.data.bytes_verified, again.received.data.bytes_verified);
  EXPECT_EQ(again.sent.data.bytes_done, again.sent.data.bytes_total);
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_P(EveryWay, AnEmptyTreeIsATree) {
  fs::create_directories(scratch_ / "source");
  ASSERT_FALSE(transfer().received.failure);
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_P(EveryWay, TheReceiversFullDiskIsToldOnBothSides) {
  make_tree(scratch_ / "source");
  const fs::path small = scratch_ / "small";
  fs::create_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=3m") != 0) GTEST_SKIP() << "may not mount here";
  target_.parent = small.string();
  const Both ends = transfer();
  ::umount(small.c_str());
  ASSERT_TRUE(ends.received.failure);
  EXPECT_EQ(ends.received.failure->reason, "NoSpace");
  EXPECT_GT(ends.received.data.needed_bytes, ends.received.data.free_bytes);
  ASSERT_TRUE(ends.sent.failure);
  EXPECT_EQ(ends.sent.failure->reason, "NoSpace");
  EXPECT_TRUE(ends.sent.failure->message.starts_with("the other mover: ")) << ends.sent.failure->message;
}

TEST_P(EveryWay, AMissingSourceIsToldOnBothSides) {
  const Both ends = transfer();
  ASSERT_TRUE(ends.sent.failure);
  EXPECT_EQ(ends.sent.failure->reason, "NotFound");
  ASSERT_TRUE(ends.received.failure);
  EXPECT_EQ(ends.received.failure->reason, "NotFound");
}

INSTANTIATE_TEST_SUITE_P(Ways, EveryWay, ::testing::Values(Way{true, 1}, Way{true, 4}, Way{false, 1}, Way{false, 4}),
                         [](const auto& way) {
                           return std::string(way.param.sender_serves ? "SenderServes" : "ReceiverServes") +
                                  std::to_string(way.param.connections);
                         });

// ---- who may come in
// -------------------------------------------------------------------------------------------------

class Entrance : public ::testing::Test {
 protected:
  /// Lets the door wait for a session in the background.
  std::future<Outcome<Linked>> wait_at(Door& door, Purpose purpose = Purpose::Copy) {
    return std::async(std::launch::async, [this, &door, purpose] {
      return std::move(door.listener).accept(door.link, kKey, purpose, Side::Send, serving_.session);
    });
  }

  /// A plain TCP connection that says `words` and nothing more.
  static Fd knock(const Link& link, std::string_view words) {
    End end;
    auto socket = connect_to(link.address, link.port, 2s, end.session).value();
    EXPECT_EQ(::send(socket.get(), words.data(), words.size(), MSG_NOSIGNAL), static_cast<ssize_t>(words.size()));
    return socket;
  }

  End serving_, calling_;
};

TEST_F(Entrance, AWrongKeyIsRefusedAndTheRightOneStillComesIn) {
  Door door;
  auto waiting = wait_at(door);
  const auto wrong = call(door.link, key_of(8), Purpose::Copy, Side::Receive, calling_.session);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "HandshakeFailed");
  Link other = door.link;
  other.transfer = "default.uat.db/copy.2";
  EXPECT_EQ(call(other, kKey, Purpose::Copy, Side::Receive, calling_.session).error().reason, "HandshakeFailed");
  EXPECT_TRUE(call(door.link, kKey, Purpose::Copy, Side::Receive, calling_.session));
  EXPECT_TRUE(waiting.get());
}

TEST_F(Entrance, GarbageAndSilenceHoldUpNobody) {
  Door door(2);
  auto waiting = wait_at(door);
  const Fd garbage = knock(door.link, "GET / HTTP/1.1\r\n\r\n"), silence = knock(door.link, ""),
           half = knock(door.link, "\x16\x03\x01\x02");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(call(door.link, kKey, Purpose::Copy, Side::Receive, calling_.session));
  EXPECT_TRUE(waiting.get());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s) << "the silent ones have ten seconds each";
}

TEST_F(Entrance, AKeyIsGoodForOneSession) {
  Door door(2);
  auto waiting = wait_at(door);
  // The first session has come with one of its two connections only: a second one is told so.
  Tls tls(Tls::End::Caller, kKey, door.link.transfer);
  const auto greet = [&](const Hello& hello) -> Outcome<std::unique_ptr<Connection>> {
    auto socket = connect_to(door.link.address, door.link.port, 2s, calling_.session);
    auto connection = Connection::establish(std::move(*socket), tls, calling_.session, 2s);
    if (!connection) return connection;
    EXPECT_TRUE((*connection)->send(FrameType::Hello, encode(hello)));
    const auto frame = (*connection)->receive_within(2s);
    if (!frame) return failed(frame.error());
    return connection;
  };
  Hello hello{.side = Side::Receive, .connections = 2, .index = 0, .session = {}};
  const auto first = greet(hello);
  ASSERT_TRUE(first);
  Hello other = hello;
  other.session[0] = std::byte{1};
  const auto intruder = greet(other);
  ASSERT_FALSE(intruder);
  EXPECT_EQ(intruder.error().reason, "KeyUsed");
  EXPECT_EQ(greet(hello).error().reason, "KeyUsed") << "the same place twice";
  hello.index = 1;
  const auto second = greet(hello);
  ASSERT_TRUE(second);
  EXPECT_TRUE(waiting.get());
  // Now nobody listens any more, the right key or not.
  EXPECT_EQ(connect_to(door.link.address, door.link.port, 2s, calling_.session).error().reason, "Unreachable");
}

TEST_F(Entrance, AServerWithACertificateInsteadOfTheKeyIsRefused) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), pair.get());
  ASSERT_GT(X509_sign(certificate.get(), pair.get(), EVP_sha256()), 0);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  ASSERT_EQ(SSL_CTX_use_certificate(context.get(), certificate.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context.get(), pair.get()), 1);
  const Fd socket = listen_on("127.0.0.1", 0).value();
  const std::uint16_t port = port_of(socket.get());
  auto impostor = std::async(std::launch::async, [&] {
    pollfd wait{socket.get(), POLLIN, 0};
    ::poll(&wait, 1, 5000);
    const Fd peer(::accept(socket.get(), nullptr, nullptr));
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(ssl.get(), peer.get());
    return SSL_accept(ssl.get());
  });
  const auto linked = call(link_to(port), kKey, Purpose::Copy, Side::Receive, calling_.session);
  ASSERT_FALSE(linked);
  EXPECT_EQ(linked.error().reason, "HandshakeFailed");
  EXPECT_NE(impostor.get(), 1);
}

TEST_F(Entrance, TwoOfTheSamePartAreToldSo) {
  Door door;
  auto waiting = wait_at(door);
  EXPECT_EQ(call(door.link, kKey, Purpose::Copy, Side::Send, calling_.session).error().reason, "RoleMismatch");
  EXPECT_EQ(call(door.link, kKey, Purpose::Connect, Side::Receive, calling_.session).error().reason, "RoleMismatch");
  serving_.stop.request_stop();
  EXPECT_EQ(waiting.get().error().reason, "Cancelled");
}

TEST_F(Entrance, AServerNobodyCallsEndsByItself) {
  Door door;
  door.link.wait_seconds = 1;
  EXPECT_EQ(wait_at(door).get().error().reason, "ListenExpired");
}

TEST_F(Entrance, ACallerWaitsForItsServerButNotForever) {
  Door door;
  auto late = std::async(std::launch::async,
                         [&] { return call(door.link, kKey, Purpose::Copy, Side::Receive, calling_.session); });
  auto waiting = wait_at(door);
  EXPECT_TRUE(late.get());
  EXPECT_TRUE(waiting.get());
  Link nobody = door.link;
  nobody.wait_seconds = 1;
  EXPECT_EQ(call(nobody, kKey, Purpose::Copy, Side::Receive, calling_.session).error().reason, "Unreachable");
}

TEST_F(Entrance, TheProbeMeasuresTheWayThereAndBack) {
  Link serve = link_to(0);
  const std::uint16_t port = port_of(listen_on("127.0.0.1", 0)->get());  // free again when this statement ends
  serve.mode = LinkMode::Serve;
  serve.port = port;
  auto served = std::async(std::launch::async, [&] { return probe(serve, kKey, {}); });
  const auto called = probe(link_to(port), kKey, {});
  ASSERT_TRUE(called) << called.error().message;
  const auto other = served.get();
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_GT(called->round_trip_millis, 0);
  EXPECT_EQ(called->round_trip_millis, other->round_trip_millis);
  EXPECT_EQ(called->peer, "127.0.0.1:" + std::to_string(port));
}

// ---- peers that do not mean well
// --------------------------------------------------------------------------------------

class Hostile : public Transfer {
 protected:
  using Script = std::function<void(Connection&)>;

  /// A real receiver against a sender that does what the script says.
  CopyEnd receive_from(const Script& script, std::chrono::milliseconds idle = 5s) {
    return against(Side::Receive, script, idle);
  }

  /// A real sender against a receiver that does what the script says.
  CopyEnd send_to(const Script& script, std::chrono::milliseconds idle = 5s) {
    return against(Side::Send, script, idle);
  }

  /// Reads and drops what comes until the other side has closed.
  static void wait_for_the_end(Connection& connection) {
    while (connection.receive()) {
    }
  }

  static Bytes entries(const std::vector<Entry>& list) {
    Bytes payload;
    for (const Entry& entry : list) append(payload, entry);
    return payload;
  }

  static Entry root() { return {.type = EntryType::Directory, .mode = 0755}; }
  static Entry file(std::string name, std::uint64_t size) {
    return {.type = EntryType::File, .parent = 0, .name = std::move(name), .mode = 0644, .size = size};
  }

  /// Announces a root and one file "f" of `size`, and returns the receiver's first want.
  static Want announce_one(Connection& connection, std::uint64_t size, bool live = false) {
    EXPECT_TRUE(connection.send(FrameType::Entries, entries({root(), file("f", size)})));
    EXPECT_TRUE(connection.send(FrameType::EntriesEnd, encode(EntriesEnd{2, size, {}, {}, live, {}})));
    for (;;) {
      const auto frame = connection.receive();
      if (!frame) return {};
      if (frame->type == FrameType::Want) return decode_wants(frame->payload)->front();
    }
  }

  static Bytes restated(const Restated& one) {
    Bytes payload;
    append(payload, one);
    return payload;
  }

  static Bytes answer(const AnswerHeader& header, std::span<const std::byte> data = {}) {
    Bytes payload(kAnswerHeader);
    put_answer(std::span<std::byte, kAnswerHeader>(payload.data(), kAnswerHeader), header);
    payload.insert(payload.end(), data.begin(), data.end());
    return payload;
  }

  void expect_refused(const Script& script, std::string_view says) {
    const CopyEnd end = receive_from([&](Connection& connection) {
      script(connection);
      wait_for_the_end(connection);
    });
    ASSERT_TRUE(end.failure);
    EXPECT_EQ(end.failure->reason, "ProtocolError") << end.failure->message;
    EXPECT_NE(end.failure->message.find(says), std::string::npos) << end.failure->message;
  }

 private:
  CopyEnd against(Side side, const Script& script, std::chrono::milliseconds idle) {
    Door door;
    End real(idle), hostile;
    auto villain = std::async(std::launch::async, [&] {
      auto linked =
          call(door.link, kKey, Purpose::Copy, side == Side::Send ? Side::Receive : Side::Send, hostile.session);
      if (linked) script(*linked->connections.front());
    });
    auto linked = std::move(door.listener).accept(door.link, kKey, Purpose::Copy, side, real.session);
    CopyEnd end = side == Side::Send ? send_tree(sending(), *linked, real.session, real.meter)
                                     : receive_tree(receiving(), *linked, real.session, real.meter);
    linked = failed(cancelled());
    villain.get();
    return end;
  }
};

TEST_F(Hostile, NamesThatLeaveTheDirectoryAreRefused) {
  for (const char* name : {"..", ".", "../../victim", "/etc/cron.d/x", "a/b", ""})
    expect_refused(
        [&](Connection& c) {
          EXPECT_TRUE(c.send(FrameType::Entries, entries({root(), file(name, 1)})));
        },
        "leave its directory");
}

TEST_F(Hostile, AFileThroughASymbolicLinkIsRefused) {
  fs::create_directories(scratch_ / "outside");
  const auto link = [&] {
    return Entry{
        .type = EntryType::SymbolicLink, .parent = 0, .name = "x", .link_target = (scratch_ / "outside").string()};
  };
  // Below the link itself.
  expect_refused(
      [&](Connection& c) {
        Entry below = file("victim", 4);
        below.parent = 1;
        EXPECT_TRUE(c.send(FrameType::Entries, entries({root(), link(), below})));
      },
      "no directory as its parent");
  // A link and a directory of one name.
  expect_refused(
      [&](Connection& c) {
        Entry below = file("victim", 4);
        below.parent = 2;
        Entry directory{.type = EntryType::Directory, .parent = 0, .name = "x", .mode = 0755};
        EXPECT_TRUE(c.send(FrameType::Entries, entries({root(), link(), directory, below})));
        EXPECT_TRUE(c.send(FrameType::EntriesEnd, encode(EntriesEnd{4, 4, {}, {}})));
      },
      "announced already");
  EXPECT_TRUE(fs::is_empty(scratch_ / "outside"));
}

TEST_F(Hostile, ALinkThatLiesInTheStagedTreeIsNotFollowed) {
  make_tree(scratch_ / "outside");
  const auto before = snapshot(scratch_ / "outside");
  fs::create_directories(tree_);
  fs::create_symlink(scratch_ / "outside/program", tree_ / "f");
  const std::string bytes = "new!";
  const CopyEnd end = receive_from([&](Connection& c) {
    const Want want = announce_one(c, bytes.size());
    const auto data = std::as_bytes(std::span(bytes));
    EXPECT_TRUE(
        c.send(FrameType::Extents, answer({AnswerKind::Data, kPlain, want.file, 0, 4, 4, Hasher().of(data)}, data)));
    while (const auto frame = c.receive()) {
      if (frame->type != FrameType::End && frame->type != FrameType::Done) continue;
      EXPECT_TRUE(c.send(frame->type));
      if (frame->type == FrameType::Done) break;
    }
  });
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(read_file(tree_ / "f"), bytes);
  EXPECT_FALSE(fs::is_symlink(tree_ / "f"));
  EXPECT_EQ(snapshot(scratch_ / "outside"), before);
}

TEST_F(Hostile, LengthsBeyondTheLimitAreRefused) {
  for (const FrameType type : {FrameType::Entries, FrameType::Extents, FrameType::Alive, static_cast<FrameType>(200)})
    expect_refused(
        [&](Connection& c) {
          Bytes header(kFrameHeader);
          put_header(std::span<std::byte, kFrameHeader>(header.data(), kFrameHeader), {type, 0xfffffff0U});
          EXPECT_TRUE(c.send(header));
        },
        "the peer");
}

TEST_F(Hostile, GarbageInsideAFrameIsRefused) {
  expect_refused(
      [&](Connection& c) {
        const std::string bytes = noise(5000, 3);
        EXPECT_TRUE(c.send(FrameType::Entries, std::as_bytes(std::span(bytes))));
      },
      "entry");
}

TEST_F(Hostile, TotalsThatDoNotFitAreRefused) {
  expect_refused(
      [&](Connection& c) {
        EXPECT_TRUE(c.send(FrameType::Entries, entries({root(), file("f", 5)})));
        EXPECT_TRUE(c.send(FrameType::EntriesEnd, encode(EntriesEnd{2, 6, 0, {}})));
      },
      "totals");
  expect_refused(
      [&](Connection& c) {
        EXPECT_TRUE(c.send(FrameType::EntriesEnd, encode(EntriesEnd{0, 0, 0, {}})));
      },
      "totals");
}

TEST_F(Hostile, AnAnswerThatWasNotAskedForIsRefused) {
  const Bytes data(10);
  const Digest hash = Hasher().of(data);
  const auto refuse = [&](const std::function<void(AnswerHeader&)>& spoil, std::string_view says) {
    expect_refused(
        [&](Connection& c) {
          const Want want = announce_one(c, 10);
          AnswerHeader header{AnswerKind::Data, kPlain, want.file, want.offset, want.length, want.length, hash};
          spoil(header);
          EXPECT_TRUE(c.send(FrameType::Extents, answer(header, std::span(data).first(header.stored))));
        },
        says);
  };
  refuse([](AnswerHeader& h) { h.file = 0; }, "another extent");
  refuse([](AnswerHeader& h) { h.offset = 1 << 30; }, "another extent");
  refuse([](AnswerHeader& h) { h.length = h.stored = 9; }, "another extent");
  refuse([](AnswerHeader& h) { h.hash[0] ^= std::byte{1}; }, "does not have its hash");
  refuse([](AnswerHeader& h) { h.codec = 2; }, "malformed");
  refuse([](AnswerHeader& h) { h.stored = 5; }, "malformed");
  refuse(
      [](AnswerHeader& h) {
        h.kind = AnswerKind::Same;
        h.stored = 0;
      },
      "without having been told");
}

TEST_F(Hostile, ASnapshotTakesOnlyExtentsThatHaveTheirNames) {
  fs::create_directories(scratch_ / "repository");
  const Bytes data(kExtent);
  snapshot_ = Snapshot{(scratch_ / "repository").string(), "s", "{}"};
  const auto with = [&](AnswerKind kind, const Digest& hash, std::size_t stored, std::string_view says) {
    expect_refused(
        [&](Connection& c) {
          const Want want = announce_one(c, kExtent);
          const AnswerHeader header{
              kind, kPlain, want.file, want.offset, want.length, static_cast<std::uint32_t>(stored), hash};
          EXPECT_TRUE(c.send(FrameType::Extents, answer(header, std::span(data).first(stored))));
        },
        says);
  };
  Digest wrong{};
  wrong[5] = std::byte{5};
  with(AnswerKind::Data, wrong, kExtent, "does not have its hash");
  with(AnswerKind::Pieces, wrong, kMaxPieces * 8, "pieces that nobody asked for");
  with(AnswerKind::Patch, wrong, kPiece, "a patch that nobody asked for");
  EXPECT_TRUE(list_snapshots(*RepositoryDirectory::open(snapshot_->path, Use::Read))->snapshots.empty());
}

TEST_F(Hostile, WhatItSaysIsInTheRepositoryIsLookedUp) {
  fs::create_directories(scratch_ / "repository");
  snapshot_ = Snapshot{(scratch_ / "repository").string(), "s", "{}"};
  Want again;
  const CopyEnd end = receive_from([&](Connection& c) {
    const Want want = announce_one(c, 10);
    Digest claimed{};
    claimed[1] = std::byte{1};
    EXPECT_TRUE(c.send(FrameType::Extents,
                       answer({AnswerKind::Have, kPlain, want.file, want.offset, want.length, 0, claimed})));
    while (const auto frame = c.receive())
      if (frame->type == FrameType::Want) {
        again = decode_wants(frame->payload)->front();
        return;
      }
  });
  EXPECT_TRUE(again.whole) << "it wants the bytes";
  EXPECT_EQ(end.failure->reason, "ConnectionLost");
}

TEST_F(Hostile, ASizeThatIsOnlyAnnouncedCostsNoMemory) {
  fs::create_directories(scratch_ / "repository");
  snapshot_ = Snapshot{(scratch_ / "repository").string(), "s", "{}"};
  const CopyEnd end = receive_from([&](Connection& c) { announce_one(c, std::uint64_t{1} << 46); });
  EXPECT_EQ(end.failure->reason, "ConnectionLost");
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 1'000'000) << "KiB, of 64 TiB announced: their names alone would be 2 GiB";
}

TEST_F(Hostile, AFileAtRestCannotBeRestated) {
  fs::create_directories(scratch_ / "repository");
  snapshot_ = Snapshot{(scratch_ / "repository").string(), "s", "{}"};
  const Bytes data(10);
  expect_refused(
      [&](Connection& c) {
        const Want want = announce_one(c, 10);
        EXPECT_TRUE(c.send(FrameType::Restated, restated({.file = want.file, .unreadable = "x"})));
      },
      "something else than extents");
}

TEST_F(Hostile, AFileIsRestatedOnceOnly) {
  fs::create_directories(scratch_ / "repository");
  snapshot_ = Snapshot{(scratch_ / "repository").string(), "s", "{}"};
  expect_refused(
      [&](Connection& c) {
        const Want want = announce_one(c, 10, true);
        EXPECT_TRUE(
            c.send(FrameType::Extents, answer({AnswerKind::Trouble, kPlain, want.file, want.offset, want.length})));
        for (int i = 0; i < 2; ++i) {
          const Entry other{.name = "f", .size = 11};
          EXPECT_TRUE(c.send(FrameType::Restated, restated({.file = want.file, .entry = other})));
        }
      },
      "restates a file twice");
}

/// Up to the frame that ends the list; what it says of them.
std::vector<Restated> restated_by(Connection& connection, const std::vector<std::vector<std::uint32_t>>& troubled) {
  for (const auto& part : troubled) EXPECT_TRUE(connection.send(FrameType::Troubled, encode(part)));
  EXPECT_TRUE(connection.send(FrameType::Troubled));
  std::vector<Restated> all;
  for (;;) {
    const auto frame = connection.receive();
    if (!frame || frame->payload.empty()) return all;
    auto more = decode_restated(frame->payload);
    EXPECT_TRUE(more);
    all.insert(all.end(), more->begin(), more->end());
  }
}

TEST_F(Hostile, ASenderHearsOfTroubledFilesInSeveralFramesAndNotOfMoreThanThereAre) {
  for (const char* name : {"a", "b", "c"}) write_file(scratch_ / "source" / name, name);
  source_.live = true;
  std::size_t told = 0;
  const CopyEnd well = send_to([&](Connection& c) {
    while (const auto frame = c.receive())
      if (frame->type == FrameType::EntriesEnd) break;
    EXPECT_TRUE(c.send(FrameType::Known));
    for (const Restated& one : restated_by(c, {{1}, {3}})) told += one.file == 1 || one.file == 3 ? 1 : 100;
    EXPECT_TRUE(c.send(FrameType::Done, encode(Tally{})));
    wait_for_the_end(c);
  });
  EXPECT_FALSE(well.failure) << well.failure->message;
  EXPECT_EQ(told, 2U);
  const CopyEnd refused = send_to([&](Connection& c) {
    while (const auto frame = c.receive())
      if (frame->type == FrameType::EntriesEnd) break;
    EXPECT_TRUE(c.send(FrameType::Known));
    restated_by(c, {{1, 2}, {1, 2, 3}});
  });
  ASSERT_TRUE(refused.failure);
  EXPECT_NE(refused.failure->message.find("more files than there are"), std::string::npos) << refused.failure->message;
}

TEST_F(Hostile, AReceiverThatKnowsTooMuchIsRefused) {
  make_tree(scratch_ / "source");
  const CopyEnd end = send_to([&](Connection& c) {
    while (const auto frame = c.receive())
      if (frame->type == FrameType::EntriesEnd) break;
    const std::vector<std::uint64_t> many(kMaxKnown, 7);
    for (std::size_t i = 0; i <= kMaxAllKnown / kMaxKnown; ++i)
      if (!c.send(FrameType::Known, encode_known(many))) return;
    wait_for_the_end(c);
  });
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "ProtocolError");
}

TEST_F(Hostile, ASilentPeerEndsTheSession) {
  const auto begin = std::chrono::steady_clock::now();
  const CopyEnd end = receive_from([](Connection& c) { wait_for_the_end(c); }, 400ms);
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "ConnectionLost");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
}

TEST_F(Hostile, APeerThatVanishesEndsTheSession) {
  const CopyEnd end = receive_from([](Connection& c) { announce_one(c, 100); });
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "ConnectionLost");
}

TEST_F(Hostile, AReceiverGetsOnlyWhatTheSourceHas) {
  make_tree(scratch_ / "source");
  const auto refused = [&](const Want& want) {
    const CopyEnd end = send_to([&](Connection& c) {
      while (const auto frame = c.receive())
        if (frame->type == FrameType::EntriesEnd) break;
      EXPECT_TRUE(c.send(FrameType::Known));
      Bytes payload;
      append(payload, want);
      EXPECT_TRUE(c.send(FrameType::Want, payload));
      wait_for_the_end(c);
    });
    return end.failure && end.failure->reason == "ProtocolError";
  };
  EXPECT_TRUE(refused({0, 0, 1, {}})) << "the root is no file";
  EXPECT_TRUE(refused({1000000, 0, 1, {}}));
  EXPECT_TRUE(refused({1, std::uint64_t{1} << 40, 1, {}}));
  EXPECT_TRUE(refused({1, 0, kMaxExtent + 1, {}}));
}

// ---- a source that changes
// --------------------------------------------------------------------------------------------

TEST_F(Hostile, ASourceThatChangesMeanwhileIsAFailureThatNamesTheFile) {
  const auto after = [&](const std::function<void(const fs::path&)>& change) {
    fs::remove_all(scratch_ / "source");
    write_file(scratch_ / "source/f", noise(100000, 1));
    std::string heard;
    const CopyEnd end = send_to([&](Connection& c) {
      while (const auto frame = c.receive())
        if (frame->type == FrameType::EntriesEnd) break;
      change(scratch_ / "source/f");
      EXPECT_TRUE(c.send(FrameType::Known));
      Bytes payload;
      append(payload, Want{1, 0, 100000, {}});
      EXPECT_TRUE(c.send(FrameType::Want, payload));
      for (;;) {
        const auto frame = c.receive();
        if (frame) continue;
        heard = frame.error().reason;
        return;
      }
    });
    EXPECT_EQ(heard, "SourceChanged") << "the receiver hears it too";
    const Failure failure = end.failure.value_or(Failure{});
    EXPECT_NE(failure.message.find("source f"), std::string::npos) << failure.message;
    return failure.reason;
  };
  EXPECT_EQ(after([](const fs::path& f) { fs::remove(f); }), "SourceChanged");
  EXPECT_EQ(after([](const fs::path& f) { fs::resize_file(f, 10); }), "SourceChanged");
  EXPECT_EQ(after([](const fs::path& f) { fs::resize_file(f, 200000); }), "SourceChanged");
  EXPECT_EQ(after([](const fs::path& f) {
              fs::remove(f);
              write_file(f, noise(100000, 2));
            }),
            "SourceChanged");
  EXPECT_EQ(after([](const fs::path& f) {
              fs::remove(f);
              fs::create_symlink("/etc/passwd", f);
            }),
            "SourceChanged");
}

TEST_F(Hostile, ASourceThatIsWrittenToAfterItWasReadIsNoticedAtTheEnd) {
  write_file(scratch_ / "source/f", noise(100000, 1));
  const CopyEnd end = send_to([&](Connection& c) {
    while (const auto frame = c.receive())
      if (frame->type == FrameType::EntriesEnd) break;
    EXPECT_TRUE(c.send(FrameType::Known));
    Bytes payload;
    append(payload, Want{1, 0, 100000, {}});
    EXPECT_TRUE(c.send(FrameType::Want, payload));
    EXPECT_TRUE(c.receive());
    std::ofstream(scratch_ / "source/f", std::ios::app) << "more";
    EXPECT_TRUE(c.send(FrameType::End));
    wait_for_the_end(c);
  });
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "SourceChanged");
}

// A peer that works for longer than silence may last, and says so, but does not read meanwhile.
TEST(AConnection, ThatCannotBeWrittenToHearsThatItsPeerIsStillThere) {
  Door door;
  End writer(1s), busy(1s);
  auto accepted = std::async(std::launch::async, [&] {
    return std::move(door.listener).accept(door.link, kKey, Purpose::Copy, Side::Receive, busy.session);
  });
  auto mine = call(door.link, kKey, Purpose::Copy, Side::Send, writer.session);
  auto theirs = accepted.get();
  ASSERT_TRUE(mine);
  ASSERT_TRUE(theirs);
  constexpr int kFrames = 100;
  auto writing = std::async(std::launch::async, [&]() -> Outcome<void> {
    const Bytes payload(std::size_t{200} << 10);  // more than all buffers take
    for (int i = 0; i < kFrames; ++i)
      if (auto sent = mine->connections.front()->send(FrameType::Entries, payload); !sent) return sent;
    return {};
  });
  const auto until = std::chrono::steady_clock::now() + 3s;
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_TRUE(theirs->connections.front()->send(FrameType::Alive, encode(Tally{})));
    ASSERT_EQ(writing.wait_for(100ms), std::future_status::timeout);
  }
  for (int i = 0; i < kFrames; ++i) ASSERT_TRUE(theirs->connections.front()->receive());
  const auto done = writing.get();
  EXPECT_TRUE(done) << done.error().message;
}

TEST_F(Hostile, CancelledItEndsSoonAndTellsThePeer) {
  Door door;
  End real(30s), other;
  auto peer = std::async(std::launch::async, [&] {
    auto linked = call(door.link, kKey, Purpose::Copy, Side::Send, other.session);
    announce_one(*linked->connections.front(), 100);
    real.stop.request_stop();  // it waits for an answer that never comes
    for (;;)
      if (const auto frame = linked->connections.front()->receive(); !frame) return frame.error().reason;
  });
  auto linked = std::move(door.listener).accept(door.link, kKey, Purpose::Copy, Side::Receive, real.session);
  ASSERT_TRUE(linked);
  const CopyEnd end = receive_tree(receiving(), *linked, real.session, real.meter);
  linked = failed(cancelled());
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "Cancelled");
  EXPECT_EQ(peer.get(), "Cancelled");
}

}  // namespace
}  // namespace roadstead::mover
