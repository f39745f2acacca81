// SPDX-License-Identifier: Apache-2.0
// Builds a service's lookup table: client hash to backend (Maglev, NSDI 2016, section 3.4, with
// weights).
//
// A pure function of the configured backends, their weights, who is up and the key. It is built
// over all configured backends; the slots of those that take no clients are then dealt to those
// that do by the same turn-taking, so a failure moves only the failed backend's slots and a
// recovery only moves them back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/plan/hash_key.h"
#include "dataplane/dataplane.h"

namespace penstock {

struct LookupMember {
  std::string identity;       // the backend's name; the same in every service that names it
  uint32_t weight = 1;        // 0: takes no slot
  bool takes_clients = true;  // false: down or draining; its slots are dealt to the others
  BackendId id = 0;
  bool operator==(const LookupMember&) const = default;
};

// Any order of members gives the same table. All slots are 0 when no member takes clients.
LookupTable build_lookup_table(std::vector<LookupMember> members, const HashKey& hash_key);

}  // namespace penstock
