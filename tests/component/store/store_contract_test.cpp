#include "tests/component/store/resource_client_contract.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead::contract {
namespace {

class StoreUnderTest final : public ClientUnderTest {
 public:
  ResourceClient& client() override { return *store_; }

 private:
  store::TemporaryDirectory directory_;
  SystemClock clock_;
  std::unique_ptr<store::Store> store_ = store::open_store(directory_.path() / "data", clock_).value();
};

INSTANTIATE_TEST_SUITE_P(Store, ResourceClientContract,
                         testing::Values(ClientCase{"Store", [] { return std::make_unique<StoreUnderTest>(); }}),
                         name_of);

}  // namespace
}  // namespace roadstead::contract
