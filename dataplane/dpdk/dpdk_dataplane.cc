// SPDX-License-Identifier: Apache-2.0
// The Dataplane over a segment's tables and the process that forwards by them.
#include "dataplane/dpdk/dpdk_dataplane.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "dataplane/dpdk/forwarder_process.h"
#include "dataplane/dpdk/segment.h"
#include "dataplane/dpdk/tap.h"
#include "dataplane/tables/affinity_reader.h"
#include "dataplane/tables/local_interfaces.h"
#include "dataplane/tables/reader.h"
#include "dataplane/tables/writer.h"

namespace penstock {
namespace {

using dpdk::ForwarderProcess;
using dpdk::ForwarderReport;
using dpdk::Holder;
using dpdk::Segment;
using dpdk::WorkerReport;

constexpr std::chrono::seconds kQuietPatience{5};
constexpr std::chrono::microseconds kQuietLook{20};

// Until every worker has ended the pass that it was in, or none is left.
Result<void> wait_for_workers(const Segment& segment) {
  ForwarderReport& report = segment.report();
  const uint64_t token = dpdk::ask_for_quiet(report);
  const auto deadline = std::chrono::steady_clock::now() + kQuietPatience;
  for (uint32_t i = 0; i < dpdk::kMaxWorkers; i++) {
    while (!dpdk::has_passed(report.worker[i], token)) {
      if (!segment.is_held(Holder::kForwarder)) return {};
      if (std::chrono::steady_clock::now() > deadline) {
        return fail(ErrorKind::kSystem,
                    fmt::format("worker {} of penstock-dpdk does not come to an end of its pass: "
                                "nothing was changed",
                                i));
      }
      std::this_thread::sleep_for(kQuietLook);
    }
  }
  return {};
}

WorkerStatus worker_status(const WorkerReport& report, uint64_t cycles_per_second) {
  WorkerStatus status;
  status.cpu = report.cpu;
  status.packets = report.packets;
  status.passes = report.passes;
  status.empty_polls = report.empty_polls;
  status.handed_over = report.handed_over;
  status.lost_in_rings = report.lost_in_rings;
  status.unsent = report.unsent;
  if (report.packets) {
    status.cycles_per_packet =
        static_cast<double>(report.busy_cycles) / static_cast<double>(report.packets);
    status.ns_per_packet = status.cycles_per_packet * 1e9 /
                           static_cast<double>(std::max<uint64_t>(1, cycles_per_second));
  }
  return status;
}

class DpdkDataplane : public Dataplane {
 public:
  DpdkDataplane(DpdkOptions options, std::vector<dpdk::Tap> taps, std::unique_ptr<Segment> segment,
                std::unique_ptr<ForwarderProcess> process)
      : options_(std::move(options)),
        taps_(std::move(taps)),
        segment_(std::move(segment)),
        process_(std::move(process)),
        writer_(segment_->tables(), [this] { return wait_for_workers(*segment_); }) {}

  ForwardingState current() const override { return writer_.read(); }

  Result<void> apply(const Delta& delta) override {
    auto interfaces = find_interfaces(options_.interfaces);
    if (!interfaces) return tl::unexpected(interfaces.error());
    return writer_.apply(delta, *interfaces);
  }

  CounterSnapshot counters() const override { return read_counters(segment_->tables()); }
  FlowSnapshot flows() const override { return read_flows(segment_->tables(), dpdk::now_ticks()); }
  Explanation explain(ServiceId service, const Endpoint& client) const override {
    return explain_client(segment_->tables(), service, client, dpdk::now_ticks());
  }
  AffinitySnapshot affinity() const override {
    return read_affinity(segment_->tables(), dpdk::now_ticks());
  }
  LookupTable lookup_table(LookupTableId id) const override {
    return read_lookup_table(segment_->tables(), id);
  }

  DataplaneStatus status() const override {
    const ForwarderReport& report = segment_->report();
    DataplaneStatus status{"dpdk", {}, segment_->adopted(), {}};
    const bool is_running = process_->is_running();
    status.forwarder = ForwarderStatus{
        is_running ? report.pid : 0, process_->restarts(), report.lost_to_kernel, {}};
    for (const InterfaceStack& stack : options_.interfaces) {
      status.interfaces.push_back(interface_status(stack, is_running));
    }
    for (uint32_t i = 0; i < report.workers && i < dpdk::kMaxWorkers; i++) {
      status.forwarder->workers.push_back(
          worker_status(report.worker[i], report.cycles_per_second));
    }
    return status;
  }

  Result<void> look_after() override { return process_->look_after(); }

  Result<void> remove() override {
    if (auto ended = process_->end_for_good(); !ended) return ended;
    unlink(options_.forwarder.segment.c_str());
    return {};
  }

 private:
  InterfaceStatus interface_status(const InterfaceStack& stack, bool is_running) const {
    const ForwarderReport& report = segment_->report();
    for (uint32_t i = 0; i < report.ports && i < dpdk::kMaxPorts; i++) {
      const dpdk::PortReport& port = report.port[i];
      if (stack.device != port.interface) continue;
      std::string mode = fmt::format("{}, {} queue{}", port.driver, port.receive_queues,
                                     port.receive_queues == 1 ? "" : "s");
      if (port.features[0]) mode += fmt::format(", {}", port.features);
      return {stack.name, mode, is_running ? "" : "penstock-dpdk does not run", stack.device};
    }
    return {stack.name, "none", "penstock-dpdk does not run", stack.device};
  }

  DpdkOptions options_;
  std::vector<dpdk::Tap> taps_;  // held up while the forwarder changes
  std::unique_ptr<Segment> segment_;
  std::unique_ptr<ForwarderProcess> process_;
  TableWriter writer_;
};

Result<std::vector<dpdk::Tap>> hold_taps(const dpdk::ForwarderOptions& options) {
  std::vector<dpdk::Tap> taps;
  for (const dpdk::PortOptions& port : options.ports) {
    if (port.device == dpdk::kAfXdp) continue;
    auto tap = dpdk::Tap::hold(port.interface);
    if (!tap) return tl::unexpected(tap.error());
    taps.push_back(std::move(*tap));
  }
  return taps;
}

}  // namespace

Result<std::unique_ptr<Dataplane>> open_dpdk_dataplane(const DpdkOptions& options) {
  auto program = dpdk::find_forwarder();
  if (!program) return tl::unexpected(program.error());
  auto interfaces = find_interfaces(options.interfaces);
  if (!interfaces) return tl::unexpected(interfaces.error());
  auto taps = hold_taps(options.forwarder);
  if (!taps) return tl::unexpected(taps.error());
  auto opened = Segment::open_or_make(options.forwarder.segment, options.sizes);
  if (!opened) return tl::unexpected(opened.error());
  auto segment = std::make_unique<Segment>(std::move(*opened));
  if (auto held = segment->hold(Holder::kControlPlane); !held) return tl::unexpected(held.error());
  auto process =
      std::make_unique<ForwarderProcess>(*segment, options.forwarder, std::move(*program));
  if (auto runs = process->ensure(); !runs) {
    if (!segment->adopted()) {
      process->end_for_good();
      unlink(options.forwarder.segment.c_str());
    }
    return tl::unexpected(runs.error());
  }
  return std::make_unique<DpdkDataplane>(options, std::move(*taps), std::move(segment),
                                         std::move(process));
}

Result<void> remove_dpdk_dataplane(const std::string& segment) {
  auto found = Segment::open(segment);
  if (!found && found.error().kind == ErrorKind::kNotFound) return {};
  if (found) {
    if (auto held = found->hold(Holder::kControlPlane); !held) return held;
    ForwarderProcess process(*found, {}, {});
    if (auto ended = process.end_for_good(); !ended) return ended;
  }
  unlink(segment.c_str());
  return {};
}

Result<void> check_dpdk() {
  auto found = dpdk::find_forwarder();
  return found ? Result<void>{} : tl::unexpected(found.error());
}

}  // namespace penstock
