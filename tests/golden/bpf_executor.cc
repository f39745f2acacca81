// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/bpf_executor.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>

#include "dataplane/xdp/program.h"
#include "dataplane/xdp/skeleton.h"

namespace penstock::golden {
namespace {

struct DestroySkeleton {
  void operator()(balancer* skeleton) const { balancer::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<balancer, DestroySkeleton>;

// The program over maps of one size. A load takes far longer than a case, so cases of one size
// share one.
class LoadedProgram {
 public:
  static Result<std::unique_ptr<LoadedProgram>> load(const TableSizes& sizes) {
    const auto workers = static_cast<uint32_t>(libbpf_num_possible_cpus());
    Skeleton skeleton(balancer::open(nullptr));
    if (!skeleton) return fail_errno("cannot open the BPF object", errno);
    size_constants(*skeleton->rodata, sizes);
    skeleton->rodata->has_test_clock = 1;
    if (auto sized = size_maps(skeleton->obj, sizes, workers); !sized) {
      return tl::unexpected(sized.error());
    }
    if (const int error = balancer::load(skeleton.get()); error != 0) {
      return fail_errno("the kernel refused the XDP program or its maps", -error);
    }
    auto tables = MappedTables::map(skeleton->obj, sizes, workers);
    if (!tables) return tl::unexpected(tables.error());
    return std::unique_ptr<LoadedProgram>(
        new LoadedProgram(sizes, workers, std::move(skeleton), std::move(*tables)));
  }

  const ps_tables& tables() const { return tables_.tables(); }
  int fd() const { return bpf_program__fd(skeleton_->progs.penstock_balancer); }

  void set_clock(uint64_t now_ns) { skeleton_->bss->test_clock_ns = now_ns; }

  // All zeros, as a new map is.
  Result<void> clear() {
    for (const TableLayout& table : table_layouts(sizes_, workers_)) {
      const bpf_map* map = bpf_object__find_map_by_name(skeleton_->obj, table.name);
      const size_t bytes = static_cast<size_t>(table.elements) * table.element_bytes;
      void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
      if (memory == MAP_FAILED) return fail_errno("cannot map a table", errno);
      std::memset(memory, 0, bytes);
      munmap(memory, bytes);
    }
    initialise_control(tables(), sizes_);
    return {};
  }

 private:
  LoadedProgram(const TableSizes& sizes, uint32_t workers, Skeleton skeleton, MappedTables tables)
      : sizes_(sizes),
        workers_(workers),
        skeleton_(std::move(skeleton)),
        tables_(std::move(tables)) {}

  TableSizes sizes_;
  uint32_t workers_;
  Skeleton skeleton_;
  MappedTables tables_;
};

class BpfExecutor : public Executor {
 public:
  explicit BpfExecutor(LoadedProgram& program) : program_(program) {}

  const ps_tables& tables() const override { return program_.tables(); }

  std::optional<Outcome> run(const Bytes& frame, uint64_t now_ns) override {
    if (frame.size() < sizeof(ps_ethernet)) return std::nullopt;
    program_.set_clock(now_ns);
    Outcome outcome;
    outcome.bytes.resize(frame.size() + 256);  // room to see a frame that grew
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_out = outcome.bytes.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()),
                .data_size_out = static_cast<uint32_t>(outcome.bytes.size()), .repeat = 1);
    if (bpf_prog_test_run_opts(program_.fd(), &options) != 0) {
      throw std::runtime_error(fmt::format("BPF_PROG_TEST_RUN: {}", std::strerror(errno)));
    }
    outcome.bytes.resize(options.data_size_out);
    judge(options.retval, outcome);
    return outcome;
  }

 private:
  static void judge(uint32_t retval, Outcome& outcome) {
    switch (retval) {
      case XDP_TX: outcome.interface_index = kIngress; [[fallthrough]];
      case XDP_REDIRECT: outcome.action = PS_TRANSMIT; return;
      case XDP_DROP: outcome.action = PS_DROP; return;
      case XDP_PASS: outcome.action = PS_PASS; return;
      default: throw std::runtime_error(fmt::format("the program returned {}", retval));
    }
  }

  LoadedProgram& program_;
};

// Loaded once for each size of the flow table.
class LoadedPrograms : public BpfPrograms {
 public:
  Result<std::unique_ptr<Executor>> open(const TableSizes& sizes) override {
    if (geteuid() != 0) {
      return fail(ErrorKind::kUnsupported, "needs root to load BPF programs");
    }
    auto& program = loaded_[sizes.flow_table_entries];
    if (!program) {
      auto loaded = LoadedProgram::load(sizes);
      if (!loaded) return tl::unexpected(loaded.error());
      program = std::move(*loaded);
    }
    if (auto cleared = program->clear(); !cleared) return tl::unexpected(cleared.error());
    return std::make_unique<BpfExecutor>(*program);
  }

 private:
  std::map<uint32_t, std::unique_ptr<LoadedProgram>> loaded_;
};

}  // namespace

std::unique_ptr<BpfPrograms> bpf_programs() {
  return std::make_unique<LoadedPrograms>();
}

}  // namespace penstock::golden
