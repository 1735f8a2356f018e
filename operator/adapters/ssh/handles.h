#pragma once

#include <libssh/libssh.h>

#include <memory>

/// libssh's handles, each with its deleter, once.
namespace roadstead::ssh {

struct SessionFree {
  void operator()(ssh_session session) const { ::ssh_free(session); }
};
struct ChannelFree {
  void operator()(ssh_channel channel) const { ::ssh_channel_free(channel); }
};
struct KeyFree {
  void operator()(ssh_key key) const { ::ssh_key_free(key); }
};
struct TextFree {
  void operator()(char* text) const { ::ssh_string_free_char(text); }
};

using SessionHandle = std::unique_ptr<ssh_session_struct, SessionFree>;
using ChannelHandle = std::unique_ptr<ssh_channel_struct, ChannelFree>;
using KeyHandle = std::unique_ptr<ssh_key_struct, KeyFree>;
using TextHandle = std::unique_ptr<char, TextFree>;

}  // namespace roadstead::ssh
