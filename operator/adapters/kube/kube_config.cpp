#include "operator/adapters/kube/kube_config.h"

#include <openssl/evp.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "crds/yaml/reader.h"
#include "operator/base/file.h"

namespace roadstead::kube {
namespace {

using nlohmann::json;

Result<std::string> from_base64(std::string text) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  std::string out(text.size() / 4 * 3, '\0');
  const int length = text.size() % 4 == 0 ? EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                                            reinterpret_cast<const unsigned char*>(text.data()),
                                                            static_cast<int>(text.size()))
                                          : -1;
  if (length < 0) return fail(ErrorKind::Invalid, "not base64");
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  out.resize(static_cast<std::size_t>(length) - padding);
  return out;
}

std::string text(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// The entry of that name in `list`, its `field`; empty where there is none.
json named(const json& config, const char* list, const std::string& name, const char* field) {
  const auto found = config.find(list);
  if (found == config.end() || !found->is_array()) return json::object();
  for (const json& entry : *found)
    if (entry.is_object() && text(entry, "name") == name && entry.contains(field) && entry[field].is_object())
      return entry[field];
  return json::object();
}

/// `field`-data inline, or the file that `field` names, relative to the kubeconfig.
Result<std::string> data_or_file(const json& entry, const std::string& field, const std::filesystem::path& directory) {
  if (const std::string inline_data = text(entry, (field + "-data").c_str()); !inline_data.empty()) {
    auto decoded = from_base64(inline_data);
    if (!decoded) return within(field + "-data", decoded.error());
    return decoded;
  }
  const std::string file = text(entry, field.c_str());
  return file.empty() ? Result<std::string>(std::string()) : read_file((directory / file).string());
}

Result<KubeConfig> config_of(const json& document, const std::filesystem::path& directory) {
  const json context = named(document, "contexts", text(document, "current-context"), "context");
  const json cluster = named(document, "clusters", text(context, "cluster"), "cluster");
  const json user = named(document, "users", text(context, "user"), "user");
  KubeConfig config;
  config.server = text(cluster, "server");
  if (config.server.empty()) return fail(ErrorKind::Invalid, "current-context leads to no cluster with a server");
  config.token = text(user, "token");
  struct Part {
    const json& entry;
    const char* field;
    std::string& into;
  };
  for (const Part& part :
       {Part{cluster, "certificate-authority", config.ca_certificate},
        Part{user, "client-certificate", config.client_certificate}, Part{user, "client-key", config.client_key}}) {
    auto content = data_or_file(part.entry, part.field, directory);
    if (!content) return tl::unexpected(content.error());
    part.into = std::move(*content);
  }
  return config;
}

}  // namespace

Result<KubeConfig> read_kubeconfig(const std::string& path) {
  const auto content = read_file(path);
  if (!content) return tl::unexpected(content.error());
  const auto documents = crds::read_manifests(*content, path);
  if (!documents) return fail(ErrorKind::Invalid, "{}", to_string(documents.error()));
  if (documents->size() != 1 || !documents->front().value.is_object())
    return fail(ErrorKind::Invalid, "{}: not a kubeconfig", path);
  auto config = config_of(documents->front().value, std::filesystem::path(path).parent_path());
  if (!config) return within(path, config.error());
  return config;
}

}  // namespace roadstead::kube
