// SPDX-License-Identifier: Apache-2.0
// Privileges, socket, daemon, signals.
#include "controlplane/cli/run.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <vector>

#include "controlplane/control/daemon.h"
#include "controlplane/control/server.h"
#include "controlplane/netlink/offload_reader.h"
#include "controlplane/netlink/stacks.h"
#include "dataplane/xdp/xdp_dataplane.h"

namespace penstock {
namespace {

namespace asio = boost::asio;

Result<void> check_privileges() {
  struct Need {
    int capability;
    const char* name;
    bool admin_will_do;  // the kernel takes CAP_SYS_ADMIN in its place
  };
  constexpr std::array<Need, 4> kNeeded{{{CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
                                         {CAP_NET_RAW, "CAP_NET_RAW", false},
                                         {CAP_BPF, "CAP_BPF", true},
                                         {CAP_PERFMON, "CAP_PERFMON", true}}};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  syscall(SYS_capget, &header, data.data());
  const auto has = [&](int capability) {
    const auto word = static_cast<size_t>(capability / 32);
    return (data[word].effective >> (capability % 32) & 1) != 0;
  };
  std::vector<std::string> missing;
  for (const Need& need : kNeeded) {
    if (has(need.capability) || (need.admin_will_do && has(CAP_SYS_ADMIN))) continue;
    missing.emplace_back(need.name);
  }
  if (missing.empty()) return {};
  return fail(ErrorKind::kSystem,
              fmt::format("missing privileges: {}: run as root, or by the systemd "
                          "unit, which grants them",
                          fmt::join(missing, ", ")));
}

Result<std::unique_ptr<Dataplane>> open_dataplane(const Config& config) {
  const DataplaneConfig& dataplane = config.dataplane;
  auto stacks = read_stacks(dataplane.interfaces);
  if (!stacks) return tl::unexpected(stacks.error());
  return open_xdp_dataplane(
      {std::move(*stacks),
       dataplane.pin_path,
       {dataplane.flow_table_entries, dataplane.max_services, dataplane.max_backends,
        dataplane.affinity_tables, dataplane.affinity_entries, dataplane.access_nodes}});
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
      spdlog::info("{}: {} XDP{}{}", interface.name, interface.attach_mode, on_device,
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

Result<void> run_daemon(const std::string& file) {
  spdlog::set_default_logger(spdlog::stderr_color_st("penstock"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  auto config = read_config(file);
  if (!config) return tl::unexpected(config.error());
  if (auto privileged = check_privileges(); !privileged) return privileged;

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
