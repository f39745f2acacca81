// SPDX-License-Identifier: Apache-2.0
// penstock-dpdk: environment, ports, workers; then the way to the kernel, until a signal.
#include <fmt/format.h>
#include <net/if.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>

#include "dataplane/af_xdp/attach.h"
#include "dataplane/dpdk/held.h"
#include "dataplane/dpdk/kernel_path.h"
#include "dataplane/dpdk/options.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/segment.h"
#include "dataplane/dpdk/worker.h"

namespace penstock::dpdk {
namespace {

constexpr uint32_t kRingFrames = 2048;

std::atomic<bool> ending = false;

struct Rings {
  std::vector<rte_ring*> kernel;   // a port: frames for the kernel
  std::vector<rte_ring*> inboxes;  // a worker: frames that others have it send
};

Result<rte_ring*> make_ring(const std::string& name) {
  rte_ring* ring = rte_ring_create(name.c_str(), kRingFrames, SOCKET_ID_ANY, RING_F_SC_DEQ);
  if (ring) return ring;
  return fail(ErrorKind::kSystem, "no memory for a ring: raise dpdk.memory_mb");
}

Result<Rings> make_rings(size_t ports, size_t workers) {
  Rings rings;
  for (size_t i = 0; i < ports + workers; i++) {
    const bool is_kernels = i < ports;
    auto ring = make_ring(fmt::format("ring{}", i));
    if (!ring) return tl::unexpected(ring.error());
    (is_kernels ? rings.kernel : rings.inboxes).push_back(*ring);
  }
  return rings;
}

// Who sends by a port that has fewer transmit queues than there are workers.
size_t owner_of(size_t place, size_t workers) {
  return place % workers;
}

WorkerSetup setup_of(uint32_t number, const ForwarderOptions& options, const Segment& segment,
                     const std::vector<Port>& ports, const Rings& rings) {
  const size_t workers = options.cpus.size();
  WorkerSetup setup{.number = number,
                    .tables = &segment.tables(),
                    .report = &segment.report(),
                    .queues = {},
                    .exits = {},
                    .inbox = rings.inboxes[number],
                    .burst = options.burst,
                    .idle_sleep_us = options.idle_sleep_us};
  for (uint32_t place = 0; place < ports.size(); place++) {
    const Port& port = ports[place];
    for (uint16_t queue = 0; queue < port.receive_queues; queue++) {
      if ((place + queue) % workers != number) continue;
      setup.queues.push_back({port.id, queue, place});
    }
    const bool has_own = port.transmit_queues >= workers;
    const size_t owner = owner_of(place, workers);
    const bool is_owner = has_own || owner == number;
    setup.exits.push_back({port.interface_index, port.id,
                           has_own ? static_cast<uint16_t>(number) : uint16_t{0},
                           is_owner ? nullptr : rings.inboxes[owner], rings.kernel[place]});
  }
  return setup;
}

// Goes before what else runs on its processor, as the kernel's own receiving does.
constexpr int kWorkerNiceness = -20;

int run_worker(void* worker) {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kWorkerNiceness);
  static_cast<Worker*>(worker)->run(ending);
  return 0;
}

std::string join(int argc, char** argv) {
  return fmt::format("{}", fmt::join(argv + 1, argv + argc, " "));
}

// Nobody else has them: another program, or a forwarder over other tables.
Result<void> check_interfaces(const ForwarderOptions& options, const ForwarderReport& report) {
  for (const PortOptions& port : options.ports) {
    if (port.device != kAfXdp) continue;
    const bool was_ours =
        std::any_of(report.port, report.port + std::min(report.ports, kMaxPorts),
                    [&](const PortReport& before) { return port.interface == before.interface; });
    const uint32_t index = if_nametoindex(port.interface.c_str());
    if (auto free = check_steerable(port.interface, index, was_ours); !free) return free;
  }
  return {};
}

// Keeps what is held back from the kernel as the tables have it.
class HoldingBack {
 public:
  HoldingBack(const ForwarderOptions& options, const std::vector<Port>& ports,
              const Segment& segment)
      : segment_(segment) {
    for (size_t i = 0; i < ports.size(); i++) {
      if (options.ports[i].device == kAfXdp) interfaces_.push_back(ports[i].interface_index);
    }
  }

  void follow() {
    const uint32_t generation =
        std::atomic_ref(segment_.tables().control->generation).load(std::memory_order_acquire);
    const std::pair now{segment_.report().token.load(std::memory_order_acquire), generation};
    if (now == seen_) return;
    seen_ = now;
    const HeldPorts held = held_ports(segment_.tables());
    for (const uint32_t interface : interfaces_) {
      if (auto done = hold_back(interface, held); !done) {
        fmt::print(stderr, "penstock-dpdk: {}\n", done.error().message);
      }
    }
  }

 private:
  const Segment& segment_;
  std::vector<uint32_t> interfaces_;
  std::pair<uint64_t, uint32_t> seen_{UINT64_MAX, 0};
};

// From here on until a signal.
Result<void> forward(const ForwarderOptions& options, const Segment& segment) {
  auto steering = Steering::load();
  if (!steering) return tl::unexpected(steering.error());
  if (auto free = check_interfaces(options, segment.report()); !free) return free;
  hold_back_at_attach(held_ports(segment.tables()));
  if (auto up = start_environment(options, steering->object_path()); !up) return up;
  auto pools = make_pools(options);
  if (!pools) return tl::unexpected(pools.error());
  ForwarderReport& report = segment.report();
  auto ports = start_ports(options, *pools, report);
  if (!ports) return tl::unexpected(ports.error());
  auto rings = make_rings(ports->size(), options.cpus.size());
  if (!rings) return tl::unexpected(rings.error());
  auto kernel = KernelPath::open(options, *ports, rings->kernel, &*steering);
  if (!kernel) return tl::unexpected(kernel.error());

  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t i = 0; i < options.cpus.size(); i++) {
    report.worker[i].cpu = options.cpus[i];
    workers.push_back(std::make_unique<Worker>(setup_of(i, options, segment, *ports, *rings)));
    rte_eal_remote_launch(run_worker, workers.back().get(), i + 1);
  }
  std::vector<rte_ring*> outbound;
  for (size_t place = 0; place < ports->size(); place++) {
    outbound.push_back(rings->inboxes[owner_of(place, workers.size())]);
  }
  report.cycles_per_second = rte_get_tsc_hz();
  std::atomic_ref(report.is_forwarding).store(1, std::memory_order_release);
  const uint64_t lost_before = report.lost_to_kernel;
  HoldingBack holding_back(options, *ports, segment);
  while (!ending) {
    holding_back.follow();
    kernel->turn(outbound);
    report.lost_to_kernel = lost_before + kernel->lost();
  }
  rte_eal_mp_wait_lcore();
  stop_ports(*ports);
  return {};
}

// What the segment's report says of a forwarder before.
void begin_report(ForwarderReport& report, const ForwarderOptions& options,
                  const std::string& command) {
  std::atomic_ref(report.is_forwarding).store(0, std::memory_order_release);
  report.pid = static_cast<uint32_t>(getpid());
  report.workers = static_cast<uint32_t>(options.cpus.size());
  report.failure[0] = 0;
  command.copy(report.command, sizeof report.command - 1);
  report.command[std::min(command.size(), sizeof report.command - 1)] = 0;
  for (WorkerReport& worker : report.worker) go_offline(worker);
}

// Nothing is in hand at the begin, whatever the forwarder before was killed amid.
void drop_arrivals(const ps_tables& tables) {
  std::fill_n(tables.arrivals, tables.workers, ps_arrival{});
}

int run(int argc, char** argv) {
  const ForwarderOptions options = parse_arguments(argc, argv);
  auto segment = Segment::open(options.segment);
  if (!segment) {
    fmt::print(stderr, "penstock-dpdk: {}\n", segment.error().message);
    return 1;
  }
  if (auto held = segment->hold(Holder::kForwarder); !held) {
    fmt::print(stderr, "penstock-dpdk: {}\n", held.error().message);
    return 1;
  }
  ForwarderReport& report = segment->report();
  begin_report(report, options, join(argc, argv));
  drop_arrivals(segment->tables());
  const auto forwarded = forward(options, *segment);
  std::atomic_ref(report.is_forwarding).store(0, std::memory_order_release);
  if (forwarded) return 0;
  const std::string& message = forwarded.error().message;  // for the control plane to tell
  report.failure[message.copy(report.failure, sizeof report.failure - 1)] = 0;
  return 1;
}

}  // namespace
}  // namespace penstock::dpdk

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM}) {
    std::signal(signal, [](int) { penstock::dpdk::ending = true; });
  }
  return penstock::dpdk::run(argc, argv);
}
