// SPDX-License-Identifier: Apache-2.0
// The golden packets through the DPDK driver's worker.
#include "tests/golden/dpdk_executor.h"

int main(int argc, char** argv) {
  using namespace penstock;
  return golden::run_corpus(argc, argv, "GoldenDpdk", golden::open_dpdk);
}
