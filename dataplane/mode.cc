// SPDX-License-Identifier: Apache-2.0
#include "dataplane/mode.h"

#include "dataplane/core/tables.h"

namespace penstock {

static_assert(static_cast<int>(Mode::kNat) == PS_NAT && static_cast<int>(Mode::kDsr) == PS_DSR &&
              static_cast<int>(Mode::kTunnel) == PS_TUNNEL &&
              static_cast<int>(Mode::kDnat) == PS_DNAT);

std::string to_string(Mode mode) {
  switch (mode) {
    case Mode::kNat: return "nat";
    case Mode::kDsr: return "dsr";
    case Mode::kTunnel: return "tunnel";
    case Mode::kDnat: return "dnat";
  }
  return "unknown";
}

}  // namespace penstock
