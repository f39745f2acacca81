// SPDX-License-Identifier: Apache-2.0
// Requests and answers without a socket, over a real daemon.
#include "controlplane/control/routes.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <set>

#include "controlplane/control/explain_json.h"
#include "controlplane/control/openapi.h"
#include "tests/unit/control_world.h"

namespace penstock {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string text(const json::object& object, const char* key) {
  return std::string(object.at(key).as_string());
}

class Answers : public ControlWorld {
 protected:
  void SetUp() override {
    ControlWorld::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    start_and_settle();
    routes_.emplace(*daemon_, [this] { ended_ = true; });
  }

  ControlResponse ask(const std::string& method, const std::string& target,
                      const std::string& body = "") {
    ControlRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    return routes_->handle(request);
  }

  json::object answer(const std::string& target) {
    const ControlResponse response = ask("GET", target);
    EXPECT_EQ(response.status, 200u) << response.body;
    return json::parse(response.body).as_object();
  }

  // The answer as a problem document; its detail.
  std::string detail(const ControlResponse& response) {
    EXPECT_EQ(response.content_type, "application/problem+json");
    const json::object document = json::parse(response.body).as_object();
    EXPECT_EQ(document.at("status").to_number<unsigned>(), response.status);
    EXPECT_FALSE(document.at("title").as_string().empty());
    return std::string(document.at("detail").as_string());
  }

  json::object backend(const std::string& name) {
    const json::object status = answer("/v1/status");
    for (const json::value& item : status.at("services").at(0).at("backends").as_array()) {
      if (text(item.as_object(), "name") == name) return item.as_object();
    }
    return {};
  }

  std::vector<std::string> warnings() {
    return json::value_to<std::vector<std::string>>(answer("/v1/status").at("warnings"));
  }

  // A client whose slot, its last byte (control_world.h), belongs to the backend.
  std::string client_of(const std::string& name) {
    const auto id = daemon_->plan().backend_ids.at({"web", name});
    const auto& table = tables_.table_of(1);
    const auto slot = std::find(table.begin(), table.begin() + 256, id) - table.begin();
    return "198.18.0." + std::to_string(slot);
  }

  std::optional<Routes> routes_;
  bool ended_ = false;
};

TEST_F(Answers, AreWhatTheDescriptionSays) {
  const json::value document = json::parse(openapi_document());
  for (const auto& [path, methods] : document.at("paths").as_object()) {
    std::set<std::string> described;
    for (const auto& [method, operation] : methods.as_object()) {
      if (method == "parameters") continue;
      std::string upper(method);
      std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
      described.insert(upper);
    }
    const ControlResponse refused = ask("BREW", std::string(path));
    EXPECT_EQ(refused.status, 405u) << path;
    std::set<std::string> allowed;
    for (size_t at = 0; at < refused.allow.size();) {
      const size_t end = std::min(refused.allow.find(", ", at), refused.allow.size());
      allowed.insert(refused.allow.substr(at, end - at));
      at = end + 2;
    }
    EXPECT_EQ(allowed, described) << path;
  }
}

TEST_F(Answers, TellTheWholeStatus) {
  const json::object status = answer("/v1/status");
  EXPECT_EQ(status.at("pid").to_number<pid_t>(), getpid());
  EXPECT_EQ(text(status, "file"), file());
  EXPECT_THAT(warnings(), ElementsAre("ps0 is degraded: it only remembers"));
  const json::object h1_a = backend("h1-a");
  EXPECT_EQ(text(h1_a, "health"), "up");
  EXPECT_EQ(text(h1_a.at("next_hop").as_object(), "mac"), "02:00:00:00:00:01");
  EXPECT_EQ(text(h1_a.at("next_hop").as_object(), "interface"), "ps0");
  EXPECT_NEAR(h1_a.at("share_percent").as_double(), 50, 0.01);
}

TEST_F(Answers, TellWhomAffinityKeepsWhere) {
  const BackendId id = daemon_->plan().backend_ids.at({"web", "h1-a"});
  tables_.affinity.kept[1][id] = 2;
  tables_.affinity.unseen[1][id] = 1;
  const json::object kept = backend("h1-a").at("kept_clients").as_object();
  EXPECT_EQ(kept.at("seen").to_number<int>(), 2);
  EXPECT_EQ(kept.at("unseen").to_number<int>(), 1);
  const std::string client = client_of("h1-b");
  tables_.kept_at = id;
  const json::object said = answer("/v1/explain?service=web&client=" + client);
  EXPECT_EQ(text(said, "backend"), "h1-a");
  EXPECT_EQ(text(said, "selected"), "h1-b");
  EXPECT_EQ(text(said, "why"),
            "affinity keeps it there while it is active; its slot leads to h1-b now");
}

TEST_F(Answers, WarnOfAServiceThatNobodyServes) {
  EXPECT_EQ(ask("PATCH", "/v1/services/web/backends/h1-a", R"({"drain": true})").status, 200u);
  EXPECT_EQ(ask("PATCH", "/v1/services/web/backends/h1-b", R"({"weight": 0})").status, 200u);
  EXPECT_THAT(warnings(), ElementsAre("ps0 is degraded: it only remembers",
                                      "service web has no backend that takes clients"));
}

TEST_F(Answers, ChangeBackends) {
  const std::string at = "/v1/services/web/backends";
  EXPECT_EQ(ask("POST", at, R"({"address": "192.0.2.1:3002", "name": "h1 c", "weight": 2})").status,
            200u);
  EXPECT_EQ(backend("h1 c").at("weight").as_int64(), 2);
  EXPECT_EQ(ask("PATCH", at + "/h1%20c", R"({"weight": 5, "drain": true})").status, 200u);
  EXPECT_EQ(backend("h1 c").at("weight").as_int64(), 5);
  EXPECT_TRUE(backend("h1 c").at("drain").as_bool());
  EXPECT_FALSE(answer("/v1/status").at("differences").as_array().empty());
  EXPECT_EQ(ask("DELETE", at + "/h1%20c").status, 200u);
  EXPECT_TRUE(backend("h1 c").empty());
  EXPECT_TRUE(answer("/v1/status").at("differences").as_array().empty());
}

TEST_F(Answers, RefuseWithAReason) {
  const std::string at = "/v1/services/web/backends";
  EXPECT_EQ(ask("GET", "/v2/status").status, 404u);
  EXPECT_EQ(ask("DELETE", at + "/h9-z").status, 404u);
  EXPECT_THAT(detail(ask("DELETE", at + "/h9-z")), HasSubstr("h1-a"));
  EXPECT_EQ(ask("PATCH", at + "/h1-a", "{").status, 400u);
  EXPECT_EQ(ask("PATCH", at + "/h1-a", "[]").status, 400u);
  EXPECT_EQ(ask("PATCH", at + "/h1-a", "{}").status, 400u);
  EXPECT_EQ(ask("PATCH", at + "/h1-a", R"({"weight": -1})").status, 400u);
  EXPECT_EQ(ask("PATCH", at + "/h1-a", R"({"weight": 1001})").status, 400u);
  EXPECT_THAT(detail(ask("PATCH", at + "/h1-a", R"({"drain": "yes"})")), HasSubstr("drain"));
  EXPECT_EQ(ask("POST", at, "").status, 400u);
  EXPECT_EQ(ask("POST", at, R"({"address": "192.0.2.1:3000"})").status, 409u);
  EXPECT_EQ(ask("POST", at, R"({"address": "[2001:db8::1]:3000"})").status, 400u);
  EXPECT_EQ(ask("GET", "/v1/explain?client=198.18.0.1").status, 400u);
  EXPECT_EQ(ask("GET", "/v1/explain?client=198.18.0.1&service=wep").status, 404u);
  EXPECT_EQ(ask("GET", "/v1/explain?client=2001:db8::1&service=web").status, 400u);
  EXPECT_THAT(daemon_->overrides(), ::testing::IsEmpty());
}

TEST_F(Answers, ListEveryFaultOfAFile) {
  write_config("[[service]]\nname = 1\nadress = \"x\"\n");
  const ControlResponse refused = ask("POST", "/v1/apply", "{}");
  EXPECT_EQ(refused.status, 400u);
  EXPECT_THAT(detail(refused), HasSubstr("did you mean"));
  const json::value document = json::parse(refused.body);
  EXPECT_GE(document.at("diagnostics").as_array().size(), 2u);
}

TEST_F(Answers, LetOnlyThoseChangeWhoMay) {
  ControlRequest request;
  request.method = "POST";
  request.target = "/v1/stop";
  request.may_change = false;
  EXPECT_EQ(routes_->handle(request).status, 403u);
  EXPECT_FALSE(tables_.removed);
  request.method = "GET";
  request.target = "/v1/status";
  EXPECT_EQ(routes_->handle(request).status, 200u);
}

TEST_F(Answers, EndTheDaemonAfterAStop) {
  EXPECT_EQ(ask("POST", "/v1/stop").status, 200u);
  EXPECT_TRUE(tables_.removed);
  EXPECT_TRUE(ended_);
}

TEST_F(Answers, ExplainAClientThatIsAtHome) {
  const json::object said = answer("/v1/explain?service=web&client=" + client_of("h1-b"));
  EXPECT_EQ(text(said, "backend"), "h1-b");
  EXPECT_EQ(text(said, "home"), "h1-b");
  EXPECT_EQ(text(said, "hash"), "0000000000001234");
  EXPECT_EQ(text(said, "hashed"), client_of("h1-b") + "/32");
}

TEST_F(Answers, ExplainWhyAClientIsElsewhere) {
  const std::string client = client_of("h1-b");
  ASSERT_EQ(ask("PATCH", "/v1/services/web/backends/h1-b", R"({"drain": true})").status, 200u);
  const json::object said = answer("/v1/explain?service=web&client=" + client);
  EXPECT_EQ(text(said, "backend"), "h1-a");
  EXPECT_EQ(text(said, "home"), "h1-b");
  EXPECT_EQ(text(said, "why"), "its own backend h1-b drains; its slot is dealt to h1-a");
}

TEST_F(Answers, ExplainThatNobodyTakesTheClient) {
  const std::string client = client_of("h1-b");
  ASSERT_EQ(ask("DELETE", "/v1/services/web/backends/h1-a").status, 200u);
  ASSERT_EQ(ask("DELETE", "/v1/services/web/backends/h1-b").status, 200u);
  const json::object said = answer("/v1/explain?service=web&client=" + client);
  EXPECT_EQ(text(said, "backend"), "");
  EXPECT_EQ(text(said, "why"), "no backend of web takes clients");
}

TEST_F(Answers, ExplainThatAClientIsDenied) {
  const std::string client = client_of("h1-b");
  tables_.denies = true;
  json::object said = answer("/v1/explain?service=web&client=" + client);
  EXPECT_TRUE(said.at("denied").as_bool());
  EXPECT_EQ(text(said, "backend"), "");
  EXPECT_EQ(text(said, "selected"), "h1-b");
  EXPECT_EQ(text(said, "why"), "no prefix in allow of web has it");
}

TEST(PrefixText, ClearsTheBitsThatAreNotHashed) {
  EXPECT_EQ(prefix_text(ip("198.18.77.255"), 24), "198.18.77.0/24");
  EXPECT_EQ(prefix_text(ip("198.18.77.255"), 31), "198.18.77.254/31");
  EXPECT_EQ(prefix_text(ip("198.18.77.255"), 32), "198.18.77.255/32");
  EXPECT_EQ(prefix_text(ip("198.18.77.255"), 0), "0.0.0.0/0");
  EXPECT_EQ(prefix_text(ip("2001:db8:1:2:3:4:5:6"), 60), "2001:db8:1::/60");
  EXPECT_EQ(prefix_text(ip("2001:db8::1"), 128), "2001:db8::1/128");
}

}  // namespace
}  // namespace penstock
