#pragma once

// Inside of the room only: the source, the destinations and the transfer that BackupPolicy and Backup share.

#include "crds/backup_policy.h"
#include "crds/common_fields.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, BarmanBackupSource& value) {
  io.required("serverRef", value.server_ref);
  io.field("method", value.method);
}

template <class Io>
void fields(Io& io, ExecHook& value) {
  io.required("container", value.container);
  io.required("command", value.command);
  io.field("timeoutSeconds", value.timeout_seconds);
  io.field("onFailure", value.on_failure);
}

template <class Io>
void fields(Io& io, HttpHeader& value) {
  io.required("name", value.name);
  io.optional("value", value.value);
  io.optional("valueRef", value.value_ref);
}

template <class Io>
void fields(Io& io, HttpHook& value) {
  io.field("method", value.method);
  io.required("url", value.url);
  io.optional("headers", value.headers);
  io.field("expectStatus", value.expect_status);
  io.field("timeoutSeconds", value.timeout_seconds);
  io.field("onFailure", value.on_failure);
}

template <class Io>
void fields(Io& io, Hook& value) {
  io.required("name", value.name);
  io.optional("exec", value.exec);
  io.optional("http", value.http);
}

template <class Io>
void fields(Io& io, Hooks& value) {
  io.optional("before", value.before);
  io.optional("after", value.after);
}

template <class Io>
void fields(Io& io, SourceVolume& value) {
  io.required("name", value.name);
  io.optional("exclude", value.exclude);
}

template <class Io>
void fields(Io& io, RepositorySource& value) {
  io.required("policyRefs", value.policy_refs);
}

template <class Io>
void fields(Io& io, Destination& value) {
  io.required("hostRef", value.host_ref);
}

template <class Io>
void fields(Io& io, Transfer& value) {
  io.field("connections", value.connections);
  io.field("bandwidthLimitBytesPerSecond", value.bandwidth_limit);
  io.field("compression", value.compression);
}

template <class Io>
void fields(Io& io, BackupSource& value) {
  io.optional("barman", value.barman);
  io.optional("hostRef", value.host_ref);
  io.optional("volumes", value.volumes);
  io.optional("repository", value.repository);
  io.optional("hooks", value.hooks);
}

}  // namespace roadstead::crds
