// SPDX-License-Identifier: Apache-2.0
// VLAN tags in front of fuzzed frames, read and written apart from the core, which is judged by
// them.
#pragma once

#include <optional>

#include "dataplane/vlan.h"
#include "tests/fuzz/steps.h"

namespace penstock::fuzz {

// What an arrival may have put before its frame; the last is no interface's.
extern const VlanTags kArrivingTags[4];

Bytes with_tags(const Bytes& frame, const VlanTags& tags);
// The first `count` taken out.
Bytes without_tags(const Bytes& frame, size_t count);

// Of an IP packet: none but with VLANs, and at most two of them. nullopt: it is no IP packet, or
// one behind other tags.
std::optional<VlanTags> tags_of(const Bytes& frame);

}  // namespace penstock::fuzz
