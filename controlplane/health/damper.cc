// SPDX-License-Identifier: Apache-2.0
// The streak that speaks against the present health, and when it is long enough.
#include "controlplane/health/damper.h"

namespace penstock {

bool Damper::observe(bool success) {
  const Health result = success ? Health::kUp : Health::kDown;
  if (result == health_) {
    streak_ = 0;
    return false;
  }
  streak_++;
  const uint32_t needed = success ? rise_ : fall_;
  if (health_ != Health::kUnknown && streak_ < needed) return false;
  health_ = result;
  streak_ = 0;
  return true;
}

}  // namespace penstock
