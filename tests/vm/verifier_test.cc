// SPDX-License-Identifier: Apache-2.0
// How many steps the kernel's verifier takes of each program: it refuses one at a million. Needs
// root. Prints a line a program; tests/vm/steps shows those of Debian's kernel beside.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

#include "dataplane/tables/layout.h"
#include "dataplane/xdp/program.h"
#include "dataplane/xdp/skeleton.h"

namespace penstock {
namespace {

constexpr uint32_t kStepsToSpare = 900'000;  // so that a compiler's whim takes no program away

TEST(Verifier, HasStepsToSpareForEachProgram) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
  const TableSizes sizes{.flow_table_entries = 1024, .max_services = 8, .max_backends = 64};
  const std::unique_ptr<balancer, void (*)(balancer*)> skeleton(balancer::open(nullptr),
                                                                balancer::destroy);
  ASSERT_TRUE(skeleton);
  size_constants(*skeleton->rodata, sizes);
  ASSERT_TRUE(size_maps(skeleton->obj, sizes, 1));
  ASSERT_EQ(balancer::load(skeleton.get()), 0);
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    bpf_prog_info info{};
    uint32_t bytes = sizeof info;
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes), 0);
    fmt::print("steps {} {}\n", info.verified_insns, bpf_program__name(program));
    EXPECT_LT(info.verified_insns, kStepsToSpare) << bpf_program__name(program);
  }
}

}  // namespace
}  // namespace penstock
