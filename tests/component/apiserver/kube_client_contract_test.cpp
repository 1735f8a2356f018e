#include "tests/component/apiserver/api_fixture.h"
#include "tests/component/store/resource_client_contract.h"

namespace roadstead::contract {
namespace {

/// The store through the server and the client: the same promises hold over HTTPS.
class HttpsUnderTest final : public ClientUnderTest {
 public:
  ResourceClient& client() override { return *client_; }

 private:
  apiserver::ApiUnderTest api_;
  std::unique_ptr<kube::KubeClient> client_ = api_.client();
};

INSTANTIATE_TEST_SUITE_P(Https, ResourceClientContract,
                         testing::Values(ClientCase{"Https", [] { return std::make_unique<HttpsUnderTest>(); }}),
                         name_of);

}  // namespace
}  // namespace roadstead::contract
