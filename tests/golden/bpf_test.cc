// SPDX-License-Identifier: Apache-2.0
// The golden packets through the XDP program in the kernel.
#include "tests/golden/bpf_executor.h"

int main(int argc, char** argv) {
  using namespace penstock;
  const auto programs = golden::bpf_programs();
  return golden::run_corpus(argc, argv, "GoldenBpf",
                            [&](const TableSizes& sizes) { return programs->open(sizes); });
}
