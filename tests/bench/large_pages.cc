// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/large_pages.h"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

namespace penstock::bench {
namespace {

constexpr char kReserved[] = "/proc/sys/vm/nr_hugepages";

uint64_t reserved() {
  uint64_t pages = 0;
  std::ifstream(kReserved) >> pages;
  return pages;
}

void reserve(uint64_t pages) {
  std::ofstream(kReserved) << pages << std::flush;
}

}  // namespace

LargePages::LargePages(uint64_t pages) : before_(reserved()) {
  reserve(before_ + pages);
  if (reserved() >= before_ + pages) return;
  reserve(before_);
  throw std::runtime_error(
      fmt::format("cannot reserve {} pages of 2 MB: is this root, and is there memory?", pages));
}

LargePages::~LargePages() {
  reserve(before_);
}

}  // namespace penstock::bench
