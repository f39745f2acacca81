// SPDX-License-Identifier: Apache-2.0
// Where the sidecar lives: a network namespace, and a veth pair from there to the dataplane.
//
//   here: penstock-tls, which the dataplane is attached to ── there: tls0
//
// In there every address is its own for what comes in, and everything else is by way of the
// dataplane: so the sidecar answers from the VIP, which is on no interface there, and connects from
// its clients' addresses. Nothing reaches this machine's own network but by the dataplane.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/dataplane.h"
#include "dataplane/result.h"

namespace penstock {

// This end of the pair.
constexpr const char* kSidecarInterface = "penstock-tls";

bool has_sidecar_namespace(const std::string& name);

// Made, or put in order when it is there: what runs in it runs on. `name`: as `ip netns` has it.
// `mtu`: in bytes of an IP packet. How the dataplane's frames get there.
Result<NextHop> make_sidecar_namespace(const std::string& name, uint16_t mtu);

// With the pair. What runs in it has to have ended.
Result<void> remove_sidecar_namespace(const std::string& name);

}  // namespace penstock
