// SPDX-License-Identifier: Apache-2.0
// Loads the balancer over pinned maps, and is the Dataplane over their mapped memory.
//
//   pin_path/<table>       one array map a table of core/tables.h, mapped into this process
//   pin_path/link_<name>   the attachment to a device
//
// A restart finds both: the maps are reused, the links get this binary's program. Nothing here is
// on the packet path.
#include "dataplane/xdp/xdp_dataplane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <unistd.h>

#include <cerrno>
#include <map>

#include "dataplane/tables/affinity_reader.h"
#include "dataplane/tables/layout.h"
#include "dataplane/tables/local_interfaces.h"
#include "dataplane/tables/reader.h"
#include "dataplane/tables/writer.h"
#include "dataplane/xdp/links.h"
#include "dataplane/xdp/pin_directory.h"
#include "dataplane/xdp/program.h"
#include "dataplane/xdp/skeleton.h"

namespace penstock {
namespace {

struct DestroySkeleton {
  void operator()(balancer* skeleton) const { balancer::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<balancer, DestroySkeleton>;

uint32_t worker_count() {
  return static_cast<uint32_t>(libbpf_num_possible_cpus());
}

// Whether there are tables to take over. Pins that a start left before it wrote `control` are as
// good as none.
Result<bool> find_tables(const PinDirectory& pins, const TableSizes& sizes) {
  if (!pins.has("control")) return false;
  const Fd map(bpf_obj_get(pins.file("control").c_str()));
  if (!map) return fail_errno(fmt::format("cannot open {}", pins.file("control")), errno);
  ps_control control{};
  const uint32_t key = 0;
  if (bpf_map_lookup_elem(map.get(), &key, &control) != 0) {
    return fail_errno("cannot read the running tables", errno);
  }
  if (control.layout_version == 0) return false;
  if (auto fits = check_control(control, sizes, worker_count()); !fits) {
    return tl::unexpected(fits.error());
  }
  return true;
}

Result<Skeleton> load_program(const PinDirectory& pins, const TableSizes& sizes) {
  Skeleton skeleton(balancer::open(nullptr));
  if (!skeleton) return fail_errno("cannot read the built-in XDP program", errno);
  size_constants(*skeleton->rodata, sizes);
  if (auto sized = size_maps(skeleton->obj, sizes, worker_count()); !sized) {
    return tl::unexpected(sized.error());
  }
  for (const TableLayout& table : table_layouts(sizes, worker_count())) {
    bpf_map* map = bpf_object__find_map_by_name(skeleton->obj, table.name);
    if (bpf_map__set_pin_path(map, pins.file(table.name).c_str()) != 0) {
      return fail_errno(fmt::format("cannot pin the table {}", table.name), errno);
    }
  }
  // The kernel empties a table of programs when nobody refers to it any more, pins included.
  if (bpf_map__set_pin_path(skeleton->maps.programs, pins.file("programs").c_str()) != 0) {
    return fail_errno("cannot pin the table programs", errno);
  }
  if (balancer::load(skeleton.get()) != 0) {
    return fail_errno("the kernel refused the XDP program or its maps", errno);
  }
  return skeleton;
}

// An update of an array of maps returns only when every program that was running has ended (the
// kernel waits for an RCU grace period): the proof that no packet reads the old generation. Its
// contents are of no interest.
class GracePeriod {
 public:
  static Result<GracePeriod> open() {
    Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "ps_grace_inner", 4, 8, 1, nullptr));
    if (!inner) return fail_errno("cannot make a map", errno);
    LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<uint32_t>(inner.get()));
    Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "ps_grace", 4, 4, 1, &options));
    if (!outer) return fail_errno("cannot make a map of maps", errno);
    return GracePeriod(std::move(inner), std::move(outer));
  }

  Result<void> wait() const {
    const uint32_t key = 0;
    const int inner = inner_.get();
    if (bpf_map_update_elem(outer_.get(), &key, &inner, BPF_ANY) == 0) return {};
    return fail_errno("cannot wait for packets to leave the old tables", errno);
  }

 private:
  GracePeriod(Fd inner, Fd outer) : inner_(std::move(inner)), outer_(std::move(outer)) {}
  Fd inner_;
  Fd outer_;
};

Result<std::vector<InterfaceStatus>> attach_interfaces(const PinDirectory& pins,
                                                       const std::vector<InterfaceStack>& stacks,
                                                       int program_fd) {
  auto interfaces = find_interfaces(stacks);
  if (!interfaces) return tl::unexpected(interfaces.error());
  detach_others(pins, stacks);
  std::map<std::string, InterfaceStatus> attached;  // by device: several VLANs may share one
  std::vector<InterfaceStatus> all;
  for (size_t i = 0; i < stacks.size(); i++) {
    const std::string& device = stacks[i].device;
    if (!attached.contains(device)) {
      auto status = attach_interface(pins, device, (*interfaces)[i].index, program_fd);
      if (!status) return tl::unexpected(status.error());
      attached[device] = std::move(*status);
    }
    all.push_back(attached[device]);
    all.back().name = stacks[i].name;
  }
  return all;
}

class XdpDataplane : public Dataplane {
 public:
  XdpDataplane(std::vector<InterfaceStack> interfaces, PinDirectory pins, Skeleton skeleton,
               MappedTables tables, GracePeriod grace, DataplaneStatus status)
      : interfaces_(std::move(interfaces)),
        pins_(std::move(pins)),
        skeleton_(std::move(skeleton)),
        tables_(std::move(tables)),
        grace_(std::move(grace)),
        writer_(tables_.tables(), [this] { return grace_.wait(); }),
        status_(std::move(status)) {}

  ForwardingState current() const override { return writer_.read(); }

  Result<void> apply(const Delta& delta) override {
    auto interfaces = find_interfaces(interfaces_);
    if (!interfaces) return tl::unexpected(interfaces.error());
    return writer_.apply(delta, *interfaces);
  }

  CounterSnapshot counters() const override { return read_counters(tables_.tables()); }
  FlowSnapshot flows() const override { return read_flows(tables_.tables(), now_ticks()); }
  Explanation explain(ServiceId service, const Endpoint& client) const override {
    return explain_client(tables_.tables(), service, client, now_ticks());
  }
  AffinitySnapshot affinity() const override {
    return read_affinity(tables_.tables(), now_ticks());
  }
  LookupTable lookup_table(LookupTableId id) const override {
    return read_lookup_table(tables_.tables(), id);
  }
  DataplaneStatus status() const override { return status_; }
  Result<void> remove() override { return pins_.remove(); }

 private:
  uint32_t now_ticks() const {
    std::array<uint8_t, 64> frame{};
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(), .data_size_in = frame.size());
    bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.penstock_clock), &run);
    return run.retval;
  }

  std::vector<InterfaceStack> interfaces_;
  PinDirectory pins_;
  Skeleton skeleton_;
  MappedTables tables_;
  GracePeriod grace_;
  TableWriter writer_;
  DataplaneStatus status_;
};

// `pins` is moved from only on success.
Result<std::unique_ptr<Dataplane>> build(const XdpOptions& options, PinDirectory& pins,
                                         bool adopted) {
  auto skeleton = load_program(pins, options.sizes);
  if (!skeleton) return tl::unexpected(skeleton.error());
  auto tables = MappedTables::map((*skeleton)->obj, options.sizes, worker_count());
  if (!tables) return tl::unexpected(tables.error());
  auto grace = GracePeriod::open();
  if (!grace) return tl::unexpected(grace.error());
  if (!adopted) initialise_control(tables->tables(), options.sizes);
  auto interfaces = attach_interfaces(pins, options.interfaces,
                                      bpf_program__fd((*skeleton)->progs.penstock_balancer));
  if (!interfaces) return tl::unexpected(interfaces.error());
  DataplaneStatus status{"xdp", std::move(*interfaces), adopted};
  return std::make_unique<XdpDataplane>(options.interfaces, std::move(pins), std::move(*skeleton),
                                        std::move(*tables), std::move(*grace), std::move(status));
}

}  // namespace

Result<std::unique_ptr<Dataplane>> open_xdp_dataplane(const XdpOptions& options) {
  libbpf_set_print(nullptr);
  if (options.interfaces.size() > PS_MAX_INTERFACES) {
    return fail(ErrorKind::kInvalid,
                fmt::format("at most {} interfaces can be named", PS_MAX_INTERFACES));
  }
  if (auto there = find_interfaces(options.interfaces); !there) {
    return tl::unexpected(there.error());
  }
  auto pins = PinDirectory::open(options.pin_path);
  if (!pins) return tl::unexpected(pins.error());
  const auto adopted = find_tables(*pins, options.sizes);
  if (!adopted) return tl::unexpected(adopted.error());
  auto dataplane = build(options, *pins, *adopted);
  if (!dataplane && !*adopted) pins->remove();
  return dataplane;
}

Result<void> remove_xdp_dataplane(const std::string& pin_path) {
  if (access(pin_path.c_str(), F_OK) != 0) return {};
  auto pins = PinDirectory::open(pin_path);
  if (!pins) return tl::unexpected(pins.error());
  return pins->remove();
}

}  // namespace penstock
