#include "mover/copy.h"

#include <cstring>

namespace roadstead::mover {
namespace {

std::chrono::milliseconds idle_of(const Link& link) { return std::chrono::seconds(link.idle_seconds); }

CopyEnd copy_linked(const Copy& job, const Key& key, const std::stop_token& stop, Meter& meter) {
  Session session(stop, idle_of(*job.link));
  meter.enter(job.link->mode == LinkMode::Serve ? "Listening" : "Connecting");
  const Side side = job.role == Role::Send ? Side::Send : Side::Receive;
  auto linked = meet(*job.link, key, Purpose::Copy, side, session);
  if (!linked) return {{}, linked.error()};
  return side == Side::Send ? send_tree(job, *linked, session, meter) : receive_tree(job, *linked, session, meter);
}

/// Waits for a frame of one type.
Outcome<Frame> expect(Connection& connection, FrameType type) {
  auto frame = connection.receive();
  if (frame && frame->type != type) return failed(protocol_error("the peer did not answer the probe"));
  return frame;
}

Outcome<double> ask_for_round_trip(Connection& connection) {
  const auto begin = Session::Clock::now();
  if (auto sent = connection.send(FrameType::Ping); !sent) return failed(sent.error());
  if (auto pong = expect(connection, FrameType::Pong); !pong) return failed(pong.error());
  const double millis = std::chrono::duration<double, std::milli>(Session::Clock::now() - begin).count();
  std::array<std::byte, sizeof millis> payload;
  std::memcpy(payload.data(), &millis, sizeof millis);
  // The server's result says it too.
  if (auto sent = connection.send(FrameType::Ping, payload); !sent) return failed(sent.error());
  if (auto pong = expect(connection, FrameType::Pong); !pong) return failed(pong.error());
  return millis;
}

Outcome<double> answer_round_trip(Connection& connection) {
  if (auto ping = expect(connection, FrameType::Ping); !ping) return failed(ping.error());
  if (auto sent = connection.send(FrameType::Pong); !sent) return failed(sent.error());
  const auto ping = expect(connection, FrameType::Ping);
  if (!ping) return failed(ping.error());
  double millis = 0;
  if (ping->payload.size() != sizeof millis) return failed(protocol_error("the peer's probe is malformed"));
  std::memcpy(&millis, ping->payload.data(), sizeof millis);
  if (auto sent = connection.send(FrameType::Pong); !sent) return failed(sent.error());
  return millis;
}

}  // namespace

CopyEnd copy(const Copy& job, const Key& key, const std::stop_token& stop, Meter& meter) {
  const auto begin = Session::Clock::now();
  CopyEnd end = job.role == Role::Both ? copy_here(job, stop, meter) : copy_linked(job, key, stop, meter);
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(Session::Clock::now() - begin);
  end.data.millis = static_cast<std::uint64_t>(time.count());
  return end;
}

Outcome<ConnectData> probe(const Link& link, const Key& key, const std::stop_token& stop) {
  Session session(stop, idle_of(link));
  Link one = link;
  one.connections = 1;
  auto linked = meet(one, key, Purpose::Connect, Side::Send, session);
  if (!linked) return failed(linked.error());
  Connection& connection = *linked->connections.front();
  const auto millis = link.mode == LinkMode::Call ? ask_for_round_trip(connection) : answer_round_trip(connection);
  if (!millis) return failed(millis.error());
  return ConnectData{*millis, connection.peer()};
}

}  // namespace roadstead::mover
