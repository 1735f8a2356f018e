#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/adapters/apiserver/request_parts.h"

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

ResourceTypes types() {
  const auto crd = [](const char* kind, const char* plural, const char* scope) {
    return json{{"spec",
                 {{"group", "roadstead.dev"},
                  {"scope", scope},
                  {"names", {{"kind", kind}, {"plural", plural}, {"singular", plural}}},
                  {"versions", {{{"name", "v1alpha1"}, {"storage", true}}}}}}};
  };
  return ResourceTypes::from_crds({crd("Host", "hosts", "Cluster"), crd("Backup", "backups", "Namespaced")}).value();
}

/// "kind ns/name[/status]", or "-" for no such page.
std::string routed(const char* path) {
  static const ResourceTypes kinds = types();
  const auto route = route_of(path, kinds);
  return route ? route->type->kind + " " + route->ns + "/" + route->name + (route->status ? "/status" : "") : "-";
}

// Paths as Kubernetes has them lead to kinds; everything near them leads nowhere.
TEST(Routes, FollowKubernetesPaths) {
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/hosts"), "Host /");
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/hosts/uat"), "Host /uat");
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/hosts/uat/status"), "Host /uat/status");
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/backups"), "Backup /");
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/namespaces/a/backups"), "Backup a/");
  EXPECT_EQ(routed("/apis/roadstead.dev/v1alpha1/namespaces/a/backups/b"), "Backup a/b");
  EXPECT_EQ(routed("/api/v1/namespaces/a/events"), "Event a/");
  EXPECT_EQ(routed("/api/v1/events"), "Event /");
  for (const char* path :
       {"/", "/apis", "/apis/", "/apis/roadstead.dev", "/apis/roadstead.dev/v1alpha1", "/apis/roadstead.dev/v2/hosts",
        "/apis/roadstead.dev/v1alpha1/hosts/", "/apis/roadstead.dev/v1alpha1/hosts/uat/scale",
        "/apis/roadstead.dev/v1alpha1/hosts/uat/status/x", "/apis/roadstead.dev/v1alpha1/namespaces/a/hosts",
        "/apis/roadstead.dev/v1alpha1/namespaces//backups/b", "/apis/roadstead.dev/v1alpha1/backups/b", "/api/v1/hosts",
        "/apis/v1/events", "//", "/api/roadstead.dev/v1alpha1/hosts"})
    EXPECT_EQ(routed(path), "-") << path;
}

// Targets are decoded once: a plus is a blank in the query alone, and broken escapes or NULs are refused.
TEST(Targets, AreDecoded) {
  Request request;
  ASSERT_TRUE(set_target(request, "/a%2Fb+c?x=1&y=%26+z&flag&x=2&&="));
  EXPECT_EQ(request.path, "/a/b+c");
  EXPECT_EQ(request.parameter("x"), "1");
  EXPECT_EQ(request.parameter("y"), "& z");
  EXPECT_TRUE(request.has_parameter("flag"));
  EXPECT_EQ(request.parameter("absent"), "");
  for (const char* target : {"", "x", "/%", "/%1", "/%zz", "/%00", "/?a=%0", "/?%00"})
    EXPECT_FALSE(set_target(request, target)) << target;
}

// Kubernetes' clients write booleans in their own ways: any value but false and 0 is true.
TEST(Flags, AreReadAsKubernetesDoes) {
  const auto read = [](const char* target) {
    Request request;
    EXPECT_TRUE(set_target(request, target));
    return flag(request, "watch");
  };
  for (const char* target : {"/?watch=true", "/?watch=True", "/?watch=1", "/?watch", "/?watch=yes"})
    EXPECT_TRUE(read(target)) << target;
  for (const char* target : {"/", "/?watch=false", "/?watch=False", "/?watch=0"}) EXPECT_FALSE(read(target)) << target;
}

// The client's name is the field manager where none is given.
TEST(WriteOptionsOfARequest, NameTheFieldManager) {
  Request request;
  ASSERT_TRUE(set_target(request, "/?dryRun=All"));
  request.headers = {{"user-agent", "kubectl/v1.33 (linux/amd64)"}};
  EXPECT_EQ(write_options(request)->field_manager, "kubectl");
  EXPECT_TRUE(write_options(request)->dry_run);
  ASSERT_TRUE(set_target(request, "/?fieldManager=flux"));
  EXPECT_EQ(write_options(request)->field_manager, "flux");
  ASSERT_TRUE(set_target(request, "/?dryRun=Perhaps"));
  EXPECT_FALSE(write_options(request));
}

}  // namespace
}  // namespace roadstead::apiserver
