// SPDX-License-Identifier: Apache-2.0
// ns per packet of the walk by BPF_PROG_TEST_RUN: both directions of established flows and new
// flows in mode nat, clients' packets in dsr and tunnel, both families, with 1 k and 1 M of them,
// beside a bare XDP_TX in the same run. Medians; needs root. Prints, judges nothing.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

#include "dataplane/core/walk.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/writer.h"
#include "dataplane/xdp/program.h"
#include "tests/bench/services.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <walk_bench.skel.h>
#pragma GCC diagnostic pop

namespace penstock {
namespace {

constexpr int kRepeats = 5;
constexpr uint32_t kFewFlows = 1'000;  // their tables stay in the processor's second cache
constexpr uint32_t kNewFlows = 20'000;
constexpr int kFrameBytes = 74;

using bench::kOurMac;
using bench::kPeerMac;
using bench::kPorts;
using bench::service_of;
using bench::vip;

struct Tuple {  // struct bench_tuple
  ps_address source;
  ps_address destination;
  ps_be16 source_port;
  ps_be16 destination_port;
  uint32_t flags;
};
static_assert(sizeof(Tuple) == 40);

struct DestroySkeleton {
  void operator()(walk_bench* skeleton) const { walk_bench::destroy(skeleton); }
};

template <typename T>
T or_die(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "walk_bench: {}\n", result.error().message);
  std::exit(1);
}

void or_die(Result<void> result) {
  if (result) return;
  fmt::print(stderr, "walk_bench: {}\n", result.error().message);
  std::exit(1);
}

struct Bench {
  Family family;
  uint32_t live_flows;
  TableSizes sizes;
  uint32_t workers;
  std::unique_ptr<walk_bench, DestroySkeleton> skeleton;
  std::optional<MappedTables> tables;
  Tuple* tuples = nullptr;
  struct State {
    uint64_t next;
    uint64_t count;
    uint64_t churned;
    int frame_bytes;
    uint64_t transmitted;
  }* state = nullptr;

  Bench(Family f, uint32_t flows);
  void configure(bool with_flowless);
  Tuple client(uint32_t number, uint8_t flags, uint16_t port = 80) const;
  double run(int program_fd, uint32_t packets);
  double median(int program_fd, uint32_t packets);
  double median_of_new_flows(int walk);
  void fill(uint32_t first, uint32_t count, uint8_t flags, uint16_t port = 80);
  void collect_answers(uint8_t flags);
  void fill_dnat_answers();
};

Bench::Bench(Family f, uint32_t flows)
    : family(f),
      live_flows(flows),
      sizes{.flow_table_entries = flows > kFewFlows ? 1'048'576u : 4'096u,
            .max_services = 64,
            .max_backends = 4096},
      workers(static_cast<uint32_t>(libbpf_num_possible_cpus())),
      skeleton(walk_bench::open(nullptr)) {
  const uint32_t count = std::max(flows, kNewFlows);
  size_constants(*skeleton->rodata, sizes);
  std::memcpy(skeleton->rodata->ethernet, kOurMac.bytes.data(), 6);
  std::memcpy(reinterpret_cast<char*>(skeleton->rodata->ethernet) + 6, kPeerMac.bytes.data(), 6);
  or_die(size_maps(skeleton->obj, sizes, workers));
  bpf_map__set_max_entries(skeleton->maps.bench_tuples, count);
  if (walk_bench::load(skeleton.get()) != 0) {
    fmt::print(stderr, "walk_bench: the kernel refused the program; is this root?\n");
    std::exit(1);
  }
  tables = or_die(MappedTables::map(skeleton->obj, sizes, workers));
  tuples = static_cast<Tuple*>(mmap(nullptr, count * sizeof(Tuple), PROT_READ | PROT_WRITE,
                                    MAP_SHARED, bpf_map__fd(skeleton->maps.bench_tuples), 0));
  state = static_cast<State*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                                   bpf_map__fd(skeleton->maps.bench_state), 0));
  initialise_control(tables->tables(), sizes);
  configure(false);
}

void Bench::configure(bool with_flowless) {
  TableWriter writer(tables->tables(), [] { return Result<void>{}; });
  or_die(writer.apply(bench::configuration(family, with_flowless), {LocalInterface{1, kOurMac}}));
}

// Distinct for each number; many ports of many addresses, as behind carrier-grade NAT.
Tuple Bench::client(uint32_t number, uint8_t flags, uint16_t port) const {
  Tuple tuple{};
  tuple.source.word[0] = ps_wire32(family == Family::kIpv4 ? 0x0b000000 + number / 16 : 0x20010db8);
  if (family == Family::kIpv6) tuple.source.word[3] = ps_wire32(number / 16);
  tuple.source_port = ps_wire16(static_cast<uint16_t>(10000 + number % 16));
  tuple.destination = to_wire(vip(family));
  tuple.destination_port = ps_wire16(port);
  tuple.flags = flags;
  return tuple;
}

void Bench::fill(uint32_t first, uint32_t count, uint8_t flags, uint16_t port) {
  for (uint32_t i = 0; i < count; i++) tuples[i] = client(first + i, flags, port);
  std::shuffle(tuples, tuples + count, std::mt19937(1));
  *state = {0, count, 0, kFrameBytes, 0};
}

// A packet of a backend's for every live flow, read from the flow table.
void Bench::collect_answers(uint8_t flags) {
  uint32_t count = 0;
  const auto add = [&](const ps_flow& flow) {
    if (ps_flow_state(flow.word) == PS_FLOW_FREE || count == live_flows) return;
    const ps_backend& backend = *ps_backend_at(&tables->tables(), 1, flow.backend);
    tuples[count++] = {backend.address,
                       ps_settings_at(&tables->tables(), 1)->snat[family == Family::kIpv6][0],
                       backend.port, flow.snat_port, flags};
  };
  for (uint32_t set = 0; set < tables->tables().flow_sets; set++) {
    for (uint32_t way = 0; way < PS_FLOW_WAYS; way++) {
      const int number = static_cast<int>(family);
      add(*ps_flow_way(ps_flow_set_at(&tables->tables(), number, set), number, way));
    }
  }
  std::shuffle(tuples, tuples + count, std::mt19937(2));
  *state = {0, count, 0, kFrameBytes, 0};
}

// What the backends send back to the clients of mode dnat.
void Bench::fill_dnat_answers() {
  const ps_tables& all = tables->tables();
  const uint32_t generation = all.control->generation & 1;
  const ps_service& service = *ps_service_at(&all, generation, service_of(Mode::kDnat));
  for (uint32_t i = 0; i < live_flows; i++) {
    const Tuple request = client(i, PS_TCP_ACK);
    const uint64_t hash = ps_client_hash(ps_settings_at(&all, generation), static_cast<int>(family),
                                         &service, &request.source, request.source_port);
    const ps_backend& backend = *ps_backend_at(&all, generation, ps_look_up(&all, &service, hash));
    tuples[i] = {backend.address, request.source, backend.port, request.source_port, PS_TCP_ACK};
  }
  std::shuffle(tuples, tuples + live_flows, std::mt19937(3));
  *state = {0, live_flows, 0, kFrameBytes, 0};
}

std::array<uint8_t, kFrameBytes> packet(Family family) {
  std::array<uint8_t, kFrameBytes> bytes{};
  auto* ethernet = reinterpret_cast<ps_ethernet*>(bytes.data());
  const uint32_t ip_bytes = family == Family::kIpv4 ? 20 : 40;
  ethernet->type = ps_wire16(family == Family::kIpv4 ? PS_ETHERTYPE_IPV4 : PS_ETHERTYPE_IPV6);
  if (family == Family::kIpv4) {
    auto* ip = reinterpret_cast<ps_ipv4*>(bytes.data() + 14);
    ip->version_and_words = 0x45;
    ip->total_length = ps_wire16(60);
    ip->protocol = PS_TCP;
  } else {
    auto* ip = reinterpret_cast<ps_ipv6*>(bytes.data() + 14);
    ip->version_class_flow = ps_wire32(6u << 28);
    ip->payload_length = ps_wire16(20);
    ip->next_header = PS_TCP;
  }
  auto* tcp = reinterpret_cast<ps_tcp*>(bytes.data() + 14 + ip_bytes);
  tcp->acknowledgement = ps_wire32(1);  // of a SYN-ACK with the sequence number 0
  tcp->header_words = 5 << 4;
  return bytes;
}

double Bench::run(int program_fd, uint32_t packets) {
  auto bytes = packet(family);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes.data(), .data_size_in = bytes.size(),
              .repeat = static_cast<int>(packets));
  if (bpf_prog_test_run_opts(program_fd, &options) != 0 || options.retval != XDP_TX) {
    fmt::print(stderr, "walk_bench: a test run failed\n");
    std::exit(1);
  }
  return options.duration;
}

double middle(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Bench::median(int program_fd, uint32_t packets) {
  std::vector<double> ns;
  ns.reserve(kRepeats);
  for (int i = 0; i < kRepeats; i++) ns.push_back(run(program_fd, packets));
  return middle(ns);
}

// Where few flows live they stay few, the newest in the place of those before; many are joined by
// a tenth.
double Bench::median_of_new_flows(int walk) {
  std::vector<double> ns;
  ns.reserve(kRepeats);
  uint64_t transmitted = 0;
  for (uint32_t round = 0; round < kRepeats; round++) {
    fill(1 + live_flows + round * kNewFlows, kNewFlows, PS_TCP_SYN);
    if (live_flows <= kFewFlows) state->churned = 1 + round * kNewFlows;
    ns.push_back(run(walk, kNewFlows));
    transmitted += state->transmitted;
  }
  state->transmitted = transmitted;
  return middle(ns);
}

// ns of a run without a program's work, of a bare XDP_TX, and of writing the packets.
struct Floor {
  double nothing;
  double transmit;
  double generate;
};

// The figures are of established flows: says so when there are others.
void note_others(const Bench& bench) {
  const ps_tables& all = bench.tables->tables();
  const auto family = static_cast<int>(bench.family);
  uint32_t established = 0;
  for (uint32_t set = 0; set < all.flow_sets; set++) {
    for (uint32_t way = 0; way < PS_FLOW_WAYS; way++) {
      const ps_flow& flow = *ps_flow_way(ps_flow_set_at(&all, family, set), family, way);
      established += ps_flow_state(flow.word) == PS_FLOW_ESTABLISHED;
    }
  }
  if (established + bench.live_flows / 1000 >= bench.live_flows) return;
  fmt::print("only {} of {} flows are established\n", established, bench.live_flows);
}

void print_memory(const Bench& bench, double chase_ns, const Floor& floor) {
  fmt::print("{:5} {:>9} {:12} {:7.0f} {:>9} {:>9} {:7.0f} {:9.0f}\n", to_string(bench.family),
             bench.live_flows, "(one load)", chase_ns, "", "", floor.transmit,
             chase_ns - floor.nothing);
}

void print(const Bench& bench, const char* what, double measured_ns, const Floor& floor,
           uint64_t walked) {
  const double walk = measured_ns - floor.generate + floor.nothing;
  fmt::print("{:5} {:>9} {:12} {:7.0f} {:9.0f} {:9.0f} {:7.0f} {:9.0f} {:8.2f}{}\n",
             to_string(bench.family), bench.live_flows, what, measured_ns, floor.generate, walk,
             floor.transmit, walk - floor.transmit, walk / floor.transmit,
             bench.state->transmitted == walked
                 ? ""
                 : fmt::format("  only {} of {} transmitted", bench.state->transmitted, walked));
}

void measure(Family family, uint32_t flows) {
  Bench bench(family, flows);
  const auto& programs = bench.skeleton->progs;
  const int walk = bpf_program__fd(family == Family::kIpv4 ? programs.walk4 : programs.walk6);
  const int generate =
      bpf_program__fd(family == Family::kIpv4 ? programs.generate4 : programs.generate6);
  const auto floor = [&] {
    return Floor{bench.median(bpf_program__fd(programs.nothing), 1'000'000),
                 bench.median(bpf_program__fd(programs.transmit), 1'000'000),
                 bench.median(generate, 1'000'000)};
  };
  const uint32_t packets = std::max(1'000'000u, flows);

  bench.fill(0, flows, PS_TCP_SYN);
  bench.run(walk, flows);  // makes the flows
  bench.collect_answers(PS_TCP_SYN | PS_TCP_ACK);
  bench.run(walk, flows);
  bench.fill(0, flows, PS_TCP_ACK);
  bench.run(walk, flows);  // acknowledged: they are established
  note_others(bench);
  bench.collect_answers(PS_TCP_ACK);
  const double answer_ns = bench.median(walk, packets);
  print(bench, "to client", answer_ns, floor(), uint64_t{packets} * kRepeats);

  bench.fill(0, flows, PS_TCP_ACK);
  const double forward_ns = bench.median(walk, packets);
  print(bench, "to backend", forward_ns, floor(), uint64_t{packets} * kRepeats);

  bench.configure(true);
  for (const auto& [port, mode] : kPorts) {
    if (mode == Mode::kNat) continue;
    bench.fill(0, flows, PS_TCP_ACK, port);
    print(bench, to_string(mode).c_str(), bench.median(walk, packets), floor(),
          uint64_t{packets} * kRepeats);
  }
  bench.fill_dnat_answers();
  print(bench, "dnat, back", bench.median(walk, packets), floor(), uint64_t{packets} * kRepeats);
  bench.configure(false);

  const int chase = bpf_program__fd(family == Family::kIpv4 ? programs.chase4 : programs.chase6);
  const double chase_ns = bench.median(chase, 1'000'000);
  bench.state->next = 0;
  print_memory(bench, chase_ns, floor());

  const double new_ns = bench.median_of_new_flows(walk);
  print(bench, "new flow", new_ns, floor(), uint64_t{kNewFlows} * kRepeats);
}

}  // namespace
}  // namespace penstock

int main() {
  fmt::print("ns per packet      {:12} {:>7} {:>9} {:>9} {:>7} {:>9} {:>8}\n", "", "run",
             "generator", "walk", "XDP_TX", "over TX", "x TX");
  for (const auto family : {penstock::Family::kIpv4, penstock::Family::kIpv6}) {
    for (const uint32_t flows : {1'000u, 1'000'000u}) penstock::measure(family, flows);
  }
}
