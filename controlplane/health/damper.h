// SPDX-License-Identifier: Apache-2.0
// Rise and fall: probe results to health. Pure. The first result counts at once, so that a start
// does not wait for rise intervals; then `rise` successes or `fall` failures in a row flip it.
#pragma once

#include <cstdint>

namespace penstock {

enum class Health : uint8_t { kUnknown, kUp, kDown };

class Damper {
 public:
  // `health`: what is known already, for a check that has changed.
  Damper(uint32_t rise, uint32_t fall, Health health = Health::kUnknown)
      : rise_(rise), fall_(fall), health_(health) {}

  // True when this result changed health().
  bool observe(bool success);
  Health health() const { return health_; }
  uint32_t streak() const { return streak_; }  // results in a row that speak against health()

 private:
  uint32_t rise_;
  uint32_t fall_;
  Health health_;
  uint32_t streak_ = 0;
};

}  // namespace penstock
