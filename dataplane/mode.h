// SPDX-License-Identifier: Apache-2.0
// How packets reach a service's backends, chosen per service; enum ps_mode in the core.
#pragma once

#include <cstdint>
#include <string>

namespace penstock {

enum class Mode : uint8_t {
  kNat,     // translated in both directions
  kDsr,     // in a frame to the backend, which has the VIP too and answers the client directly
  kTunnel,  // the same, in an IP packet to the backend
  kDnat,    // the destination is translated only: the backend answers by us as its gateway
};

// As the configuration says it: "nat".
std::string to_string(Mode mode);

}  // namespace penstock
