#include "reconcilers/support/images.h"

#include <array>
#include <fstream>
#include <memory>
#include <sstream>

#include "operator/base/hash.h"
#include "operator/base/log.h"

namespace roadstead::reconcilers {
namespace {

/// Pieces of a file; each span is valid until the next call.
Result<ByteSource> file_source(const std::string& path) {
  auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  if (!*file) return fail(ErrorKind::NotFound, "archive {} cannot be read", path);
  auto buffer = std::make_shared<std::array<char, std::size_t{256} << 10>>();
  return [file, buffer]() -> Result<std::span<const std::byte>> {
    file->read(buffer->data(), static_cast<std::streamsize>(buffer->size()));
    return std::as_bytes(std::span(buffer->data(), static_cast<std::size_t>(file->gcount())));
  };
}

/// Loading takes as long as the archive is large; only silence is a failure.
Limits patient(const Limits& limits) {
  Limits longer = limits;
  longer.idle = std::chrono::minutes(5);
  return longer;
}

}  // namespace

Result<std::string> mover_reference_of(const std::string& archive_path, const std::string& version) {
  std::ifstream file(archive_path, std::ios::binary);
  if (!file)
    return fail(ErrorKind::NotFound, "mover archive {} cannot be read; give its path with --mover-image", archive_path);
  std::ostringstream content;
  content << file.rdbuf();
  return fmt::format("roadstead/mover:{}-{}", version, sha256_hex(content.view()).substr(0, 12));
}

Result<std::string> Images::ensure_mover(const HostHandle& host, const Limits& limits) {
  auto found = host.engine->inspect_image(sources_.mover_reference, limits);
  if (found) return sources_.mover_reference;
  if (found.error().kind != ErrorKind::NotFound) return tl::unexpected(found.error());
  auto archive = file_source(sources_.mover_archive);
  if (!archive) return tl::unexpected(archive.error());
  const std::vector<std::string> changes{"ENTRYPOINT [\"/roadstead-mover\"]", "LABEL dev.roadstead.image=mover"};
  log_info("importing the mover's image", {{"host", host.host.metadata.name}, {"image", sources_.mover_reference}});
  return host.engine->import_image(*archive, sources_.mover_reference, changes, patient(limits)).map([&] {
    return sources_.mover_reference;
  });
}

Result<void> Images::load_from_archives(const HostHandle& host, const std::string& reference, const Limits& limits) {
  for (const std::string& path : sources_.image_archives) {
    auto archive = file_source(path);
    if (!archive) return tl::unexpected(archive.error());
    if (auto loaded = host.engine->load_image(*archive, patient(limits)); !loaded) return loaded;
    if (host.engine->inspect_image(reference, limits)) return {};
  }
  return fail(ErrorKind::NotFound, "image {} is in none of the archives", reference);
}

Result<void> Images::ensure(const HostHandle& host, const std::string& reference, const Limits& limits) {
  auto found = host.engine->inspect_image(reference, limits);
  if (found) return {};
  if (found.error().kind != ErrorKind::NotFound) return tl::unexpected(found.error());
  if (load_from_archives(host, reference, limits)) return {};
  auto credentials = hosts_.credentials_for(host.host, reference);
  if (!credentials) return tl::unexpected(credentials.error());
  log_info("pulling an image", {{"host", host.host.metadata.name}, {"image", reference}});
  auto pulled = host.engine->pull_image(reference, *credentials, patient(limits));
  if (pulled) return {};
  return fail(pulled.error().kind == ErrorKind::Unavailable ? ErrorKind::Unavailable : ErrorKind::NotFound,
              "image {} is not on host {} and cannot be pulled ({}); load it there with `docker load`, or give its "
              "archive to the operator with --image-archive",
              reference, host.host.metadata.name, pulled.error().message);
}

}  // namespace roadstead::reconcilers
