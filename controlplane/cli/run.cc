// SPDX-License-Identifier: Apache-2.0
// Privileges, socket, daemon, signals.
#include "controlplane/cli/run.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <set>
#include <vector>

#include "controlplane/control/daemon.h"
#include "controlplane/control/server.h"
#include "controlplane/netlink/offload_reader.h"
#include "controlplane/netlink/stacks.h"
#include "dataplane/dpdk/dpdk_dataplane.h"
#include "dataplane/xdp/xdp_dataplane.h"

namespace penstock {
namespace {

namespace asio = boost::asio;

// Goes before what else keeps the machine busy, as a worker of DPDK does: a probe that had to wait
// for its turn would be taken for a backend that does not answer. Without CAP_SYS_NICE it goes in
// turn.
constexpr int kNiceness = -15;

Result<void> check_privileges(const Config& config) {
  struct Need {
    int capability;
    const char* name;
    bool admin_will_do;  // the kernel takes CAP_SYS_ADMIN in its place
  };
  std::vector<Need> needed{{CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
                           {CAP_NET_RAW, "CAP_NET_RAW", false},
                           {CAP_BPF, "CAP_BPF", true},
                           {CAP_PERFMON, "CAP_PERFMON", true}};
  if (config.dataplane.driver == "dpdk") needed.push_back({CAP_IPC_LOCK, "CAP_IPC_LOCK", false});
  if (config.has_tls()) {  // a namespace for the sidecar, and in it a process of another user
    needed.push_back({CAP_SYS_ADMIN, "CAP_SYS_ADMIN", false});
    needed.push_back({CAP_CHOWN, "CAP_CHOWN", false});
    needed.push_back({CAP_SETUID, "CAP_SETUID", false});
    needed.push_back({CAP_SETGID, "CAP_SETGID", false});
    needed.push_back({CAP_SETPCAP, "CAP_SETPCAP", false});
    needed.push_back({CAP_KILL, "CAP_KILL", false});
    needed.push_back({CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", false});
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  syscall(SYS_capget, &header, data.data());
  const auto has = [&](int capability) {
    const auto word = static_cast<size_t>(capability / 32);
    return (data[word].effective >> (capability % 32) & 1) != 0;
  };
  std::vector<std::string> missing;
  for (const Need& need : needed) {
    if (has(need.capability) || (need.admin_will_do && has(CAP_SYS_ADMIN))) continue;
    missing.emplace_back(need.name);
  }
  if (missing.empty()) return {};
  return fail(ErrorKind::kSystem,
              fmt::format("missing privileges: {}: run as root, or by the systemd "
                          "unit, which grants them",
                          fmt::join(missing, ", ")));
}

// A port for each device that the interfaces stand on.
dpdk::ForwarderOptions forwarder_options(const DpdkConfig& config,
                                         const std::vector<InterfaceStack>& stacks) {
  dpdk::ForwarderOptions options;
  options.segment = config.segment;
  options.cpus = config.lcores;
  if (options.cpus.empty()) {
    options.cpus = {static_cast<uint32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)) - 1)};
  }
  std::set<std::string> seen;
  for (const InterfaceStack& stack : stacks) {
    if (!seen.insert(stack.device).second) continue;
    dpdk::PortOptions port{stack.device, dpdk::kAfXdp};
    for (const DpdkPortConfig& bound : config.ports) {
      if (bound.interface == stack.device) port.device = bound.device;
    }
    options.ports.push_back(std::move(port));
  }
  options.hugepages = config.hugepages;
  options.memory_mb = config.memory_mb;
  options.burst = config.burst;
  options.descriptors = config.descriptors;
  options.idle_sleep_us = config.idle_sleep_us;
  options.eal = config.eal;
  return options;
}

// A machine forwards by one driver: what the other one left would go on beside it.
Result<void> end_other_driver(const Config& config) {
  if (config.dataplane.driver == "xdp") return remove_dpdk_dataplane(config.dpdk.segment);
  if (auto able = check_dpdk(); !able) return able;
  return remove_xdp_dataplane(config.dataplane.pin_path);
}

Result<std::unique_ptr<Dataplane>> open_dataplane(const Config& config) {
  const DataplaneConfig& dataplane = config.dataplane;
  if (auto ended = end_other_driver(config); !ended) return tl::unexpected(ended.error());
  auto stacks = read_stacks(dataplane.interfaces);
  if (!stacks) return tl::unexpected(stacks.error());
  const TableSizes sizes{dataplane.flow_table_entries, dataplane.max_services,
                         dataplane.max_backends,       dataplane.affinity_tables,
                         dataplane.affinity_entries,   dataplane.access_nodes};
  if (dataplane.driver == "dpdk") {
    auto forwarder = forwarder_options(config.dpdk, *stacks);
    return open_dpdk_dataplane({std::move(*stacks), sizes, std::move(forwarder)});
  }
  return open_xdp_dataplane({std::move(*stacks), dataplane.pin_path, sizes});
}

void log_offloads(const std::string& interface) {
  for (const OffloadProblem& problem : find_offload_problems(interface)) {
    const auto level = problem.certain ? spdlog::level::warn : spdlog::level::info;
    spdlog::log(level, "{}: {}", interface, to_string(problem));
  }
}

void log_start(const Daemon& daemon) {
  const DataplaneStatus status = daemon.dataplane().status();
  for (const InterfaceStatus& interface : status.interfaces) {
    const std::string on_device =
        interface.device == interface.name ? "" : " on " + interface.device;
    if (interface.degraded.empty()) {
      spdlog::info("{}: {} {}{}{}", interface.name, status.driver, interface.attach_mode, on_device,
                   status.adopted ? ", tables taken over" : "");
    } else {
      spdlog::warn("{}: degraded: {}", interface.name, interface.degraded);
    }
    log_offloads(interface.name);
  }
}

void reload(Daemon& daemon) {
  if (auto applied = daemon.apply(std::nullopt, false); !applied) {
    spdlog::error("not applied: {}", applied.error().message);
  }
}

void follow_signals(asio::signal_set& signals, asio::io_context& context, Daemon& daemon) {
  signals.async_wait([&](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      reload(daemon);
      follow_signals(signals, context, daemon);
      return;
    }
    spdlog::info("ending; packets are forwarded on (`penstock stop` ends that too)");
    context.stop();
  });
}

}  // namespace

// Where the programs are that the sidecar needs, which a shell of `su` does not know.
void find_administrators_programs() {
  const char* path = std::getenv("PATH");
  setenv("PATH", fmt::format("{}:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin").c_str(), 1);
}

Result<void> run_daemon(const std::string& file) {
  spdlog::set_default_logger(spdlog::stderr_color_st("penstock"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  auto config = read_config(file);
  if (!config) return tl::unexpected(config.error());
  if (auto privileged = check_privileges(*config); !privileged) return privileged;
  setpriority(PRIO_PROCESS, 0, kNiceness);
  find_administrators_programs();

  asio::io_context context(1);
  auto server = ControlServer::listen(context, config->control.socket);
  if (!server) return tl::unexpected(server.error());
  auto daemon = Daemon::start(context, file, std::move(*config), open_dataplane);
  if (!daemon) return tl::unexpected(daemon.error());
  log_start(**daemon);
  asio::steady_timer farewell(context);  // lets the answer go out first
  Routes routes(**daemon, [&] {
    (*server)->leave();
    farewell.expires_after(std::chrono::milliseconds(100));
    spdlog::info("stopped: nothing is forwarded any more");
    farewell.async_wait([&](const boost::system::error_code&) { context.stop(); });
  });
  (*server)->serve([&](const ControlRequest& request) { return routes.handle(request); });
  asio::signal_set signals(context, SIGINT, SIGTERM, SIGHUP);
  follow_signals(signals, context, **daemon);
  context.run();
  return {};
}

}  // namespace penstock
