// SPDX-License-Identifier: Apache-2.0
// A daemon over a dataplane that only remembers, in a network namespace with a neighbour: 192.0.2.1
// and 2001:db8::1 at the other end of `ps0`.
#pragma once

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/control/daemon.h"
#include "tests/unit/netlink_world.h"

namespace penstock {

// What a dataplane remembers. It outlives the daemon, as pinned tables do.
struct RememberedTables {
  ForwardingState state;
  std::map<LookupTableId, LookupTable> lookup_tables;
  FlowSnapshot flows;
  AffinitySnapshot affinity;
  std::set<std::pair<ServiceId, BackendId>> released;
  std::optional<BackendId> kept_at;  // where affinity keeps whoever is explained
  bool denies = false;               // whoever is explained

  const LookupTable& table_of(ServiceId service) const {
    return lookup_tables.at(state.services.at(service).lookup_table);
  }
  std::optional<Error> refusal;  // what apply() answers
  int applied = 0;
  bool removed = false;
};

class RememberingDataplane : public Dataplane {
 public:
  explicit RememberingDataplane(RememberedTables& tables) : tables_(tables) {}

  ForwardingState current() const override { return tables_.state; }
  Result<void> apply(const Delta& delta) override {
    if (tables_.refusal) return tl::unexpected(*tables_.refusal);
    tables_.applied++;
    tables_.state = delta.next;
    tables_.released.insert(delta.released.begin(), delta.released.end());
    for (const auto& [id, table] : delta.lookup_tables) tables_.lookup_tables[id] = table;
    return {};
  }
  CounterSnapshot counters() const override { return {}; }
  FlowSnapshot flows() const override { return tables_.flows; }
  // The client's last byte is its slot.
  Explanation explain(ServiceId service, const Endpoint& client) const override {
    const uint32_t slot = client.address.bytes[client.address.is_ipv4() ? 3 : 15];
    const BackendId selected = tables_.table_of(service)[slot];
    return {0x1234, slot, tables_.kept_at.value_or(selected), selected, tables_.denies};
  }
  AffinitySnapshot affinity() const override { return tables_.affinity; }
  LookupTable lookup_table(LookupTableId id) const override { return tables_.lookup_tables.at(id); }
  DataplaneStatus status() const override {
    return {"remembering", {{"ps0", "generic", "it only remembers"}}, false};
  }
  Result<void> remove() override {
    tables_.removed = true;
    return {};
  }

 private:
  RememberedTables& tables_;
};

class ControlWorld : public NetlinkWorld {
 protected:
  void SetUp() override {
    NetlinkWorld::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    spdlog::set_level(spdlog::level::off);
    std::string name = ::testing::TempDir() + "penstock.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    write_config(web());
  }

  void TearDown() override {
    daemon_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
    NetlinkWorld::TearDown();
  }

  std::string file() const { return directory_ + "/penstock.toml"; }

  // `services` below the rest of a configuration.
  void write_config(const std::string& services, const std::string& interface = "ps0") {
    write_file(file(), "[dataplane]\ninterfaces = [\"" + interface + "\"]\n[control]\nsocket = \"" +
                           directory_ + "/control.sock\"\nstate_directory = \"" + directory_ +
                           "/state\"\n" + services);
  }

  static std::string web() {
    return R"([[service]]
name = "web"
address = "203.0.113.10"
port = 80
health = { type = "none" }
backend = [
  { name = "h1-a", address = "192.0.2.1:3000" },
  { name = "h1-b", address = "192.0.2.1:3001" },
]
)";
  }

  Result<void> start() {
    auto config = read_config(file());
    if (!config) return tl::unexpected(config.error());
    auto started = Daemon::start(context_, file(), *config, [this](const Config&) {
      return Result<std::unique_ptr<Dataplane>>(std::make_unique<RememberingDataplane>(tables_));
    });
    if (!started) return tl::unexpected(started.error());
    daemon_ = std::move(*started);
    return {};
  }

  // Started, and past its first plan.
  void start_and_settle() {
    const auto started = start();
    ASSERT_TRUE(started) << started.error().message;
    ASSERT_TRUE(wait_for([&] { return !daemon_->plan().service_ids.empty(); }));
  }

  // The limit is how long a test waits before it gives up.
  template <typename Condition>
  bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < limit) {
      context_.run_one_for(std::chrono::milliseconds(100));
    }
    return condition();
  }

  static bool is_on(const std::string& interface, const std::string& address) {
    const auto command = "ip -o address show dev " + interface + " | grep -qF ' " + address + "/'";
    return std::system(command.c_str()) == 0;
  }

  // How many slots of the service's table each backend holds, by name.
  std::map<std::string, uint32_t> slots(const std::string& service = "web") const {
    std::map<std::string, uint32_t> held;
    const auto& table = tables_.table_of(daemon_->plan().service_ids.at(service));
    for (const auto& [name, id] : daemon_->plan().backend_ids) {
      if (name.first != service) continue;
      held[name.second] = static_cast<uint32_t>(std::count(table.begin(), table.end(), id));
    }
    return held;
  }

  std::string directory_;
  RememberedTables tables_;
  boost::asio::io_context context_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace penstock
