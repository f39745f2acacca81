// SPDX-License-Identifier: Apache-2.0
// What the benchmarks balance: a service a mode, with the same backends.
#pragma once

#include <utility>

#include "dataplane/dataplane.h"

namespace penstock::bench {

constexpr uint32_t kBackends = 100;
inline constexpr MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
inline constexpr MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};

// A service a mode, each at a port of its own.
constexpr std::pair<uint16_t, Mode> kPorts[] = {
    {80, Mode::kNat}, {81, Mode::kDsr}, {82, Mode::kTunnel}, {83, Mode::kDnat}};

constexpr ServiceId service_of(Mode mode) {
  return static_cast<ServiceId>(static_cast<int>(mode) + 1);
}

uint16_t port_of(Mode mode);
IpAddress vip(Family family);

// A service in mode nat; with those without flows, every packet looks for its service first.
Delta configuration(Family family, bool with_flowless);

}  // namespace penstock::bench
