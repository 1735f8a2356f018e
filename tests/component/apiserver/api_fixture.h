#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "operator/adapters/apiserver/api_server.h"
#include "operator/adapters/apiserver/pki.h"
#include "operator/adapters/kube/kube_client.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead::apiserver {

/// A real store behind the real server on a free loopback port, and clients of it.
class ApiUnderTest {
 public:
  explicit ApiUnderTest(ServerLimits limits = {}, store::StoreOptions store_options = {},
                        const Clock& clock = system_clock(), bool own_authority = false) {
    if (!own_authority) std::filesystem::copy(shared_pki(), directory_.path() / "pki");
    store_ = store::open_store(directory_.path(), clock, std::move(store_options)).value();
    ApiServerOptions options;
    options.data_dir = directory_.path().string();
    options.port = 0;
    options.limits = limits;
    options.not_ready = [this] { return not_ready; };
    server_ = ApiServer::start(std::move(options), *store_, kinds().types, kinds().catalog.all(), clock).value();
  }

  /// As the administrator, or with a kubeconfig changed by `change`.
  std::unique_ptr<kube::KubeClient> client(const std::function<void(kube::KubeConfig&)>& change = {}) {
    kube::KubeConfig config = kube::read_kubeconfig(server_->kubeconfig()).value();
    if (change) change(config);
    return kube::KubeClient::make(std::move(config), kinds().types).value();
  }

  ResourceClient& store() { return *store_; }
  ApiServer& server() { return *server_; }
  static store::Kinds& kinds() { return store::builtin_kinds(); }
  std::string directory() const { return directory_.path().string(); }

  std::string not_ready;

 private:
  /// Certificates made once for all tests of a program: each of the files is synced to the disk.
  static std::filesystem::path shared_pki() {
    static const store::TemporaryDirectory directory;
    static const Pki made =
        ensure_pki(directory.path().string(), server_names("127.0.0.1"), SystemClock().now()).value();
    return directory.path() / "pki";
  }
  static const Clock& system_clock() {
    static const SystemClock clock;
    return clock;
  }
  store::TemporaryDirectory directory_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<ApiServer> server_;
};

}  // namespace roadstead::apiserver
