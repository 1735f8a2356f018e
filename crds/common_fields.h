#pragma once

// Inside of the room only: the fields of what several kinds share, and reading and writing a whole object.

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/json_io.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, OwnerReference& value) {
  io.required("apiVersion", value.api_version);
  io.required("kind", value.kind);
  io.required("name", value.name);
  io.required("uid", value.uid);
  io.optional("controller", value.controller);
}

template <class Io>
void fields(Io& io, ObjectMeta& value) {
  io.optional("name", value.name);
  io.optional("namespace", value.ns);
  io.optional("uid", value.uid);
  io.optional("resourceVersion", value.resource_version);
  io.optional("generation", value.generation);
  io.optional("creationTimestamp", value.creation_timestamp);
  io.optional("deletionTimestamp", value.deletion_timestamp);
  io.optional("labels", value.labels);
  io.optional("annotations", value.annotations);
  io.optional("finalizers", value.finalizers);
  io.optional("ownerReferences", value.owner_references);
}

template <class Io>
void fields(Io& io, Condition& value) {
  io.required("type", value.type);
  io.required("status", value.status);
  io.optional("reason", value.reason);
  io.optional("message", value.message);
  io.optional("lastTransitionTime", value.last_transition_time);
  io.optional("observedGeneration", value.observed_generation);
}

template <class Io>
void fields(Io& io, NameRef& value) {
  io.required("name", value.name);
}

template <class Io>
void fields(Io& io, SecretRef& value) {
  io.optional("file", value.file);
  io.optional("env", value.env);
}

template <class Io>
void fields(Io& io, Progress& value) {
  io.optional("phase", value.phase);
  io.optional("bytesDone", value.bytes_done);
  io.optional("bytesTotal", value.bytes_total);
  io.optional("percent", value.percent);
  io.optional("filesDone", value.files_done);
  io.optional("filesTotal", value.files_total);
  io.optional("bytesPerSecond", value.bytes_per_second);
  io.optional("etaSeconds", value.eta_seconds);
}

template <class Io>
void fields(Io& io, Step& value) {
  io.required("name", value.name);
  io.optional("host", value.host);
  io.required("attempt", value.attempt);
  io.optional("worker", value.worker);
  io.required("state", value.state);
  io.optional("startedAt", value.started_at);
  io.optional("finishedAt", value.finished_at);
  io.optional("message", value.message);
  io.json_text("result", value.result);
}

template <class Io>
void fields(Io& io, ProgressSummary& value) {
  io.optional("progress", value.progress);
  io.optional("rate", value.rate);
  io.optional("eta", value.eta);
  io.optional("dataAsOf", value.data_as_of);
}

namespace io {

template <class T>
Result<T> read_object(const Json& object) {
  T out;
  ReadError error;
  JsonReader reader(object, "", error);
  reader.field("metadata", out.metadata);
  reader.required("spec", out.spec);
  reader.field("status", out.status);
  if (!error.message) return out;
  const std::string& name = out.metadata.name;
  return fail(ErrorKind::Invalid, "{} {}: {}", Kind<T>::kind, name.empty() ? "without a name" : name, *error.message);
}

template <class T>
Json write_object(const T& object) {
  T copy = object;  // fields() takes one shape for both directions, so the writer walks a copy
  JsonWriter writer;
  writer.field("metadata", copy.metadata);
  writer.field("spec", copy.spec);
  writer.field("status", copy.status);
  Json out = writer.take();
  out["apiVersion"] = std::string(kApiVersion);
  out["kind"] = std::string(Kind<T>::kind);
  return out;
}

}  // namespace io
}  // namespace roadstead::crds
