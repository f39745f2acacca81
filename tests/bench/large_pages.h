// SPDX-License-Identifier: Apache-2.0
// Pages of 2 MB, reserved for as long as this lives.
#pragma once

#include <cstdint>

namespace penstock::bench {

class LargePages {
 public:
  // More than are reserved now; throws when the kernel has no room for them.
  explicit LargePages(uint64_t pages);
  ~LargePages();
  LargePages(const LargePages&) = delete;
  LargePages& operator=(const LargePages&) = delete;

 private:
  uint64_t before_;
};

}  // namespace penstock::bench
