// SPDX-License-Identifier: Apache-2.0
// What the runner has to know of a frame's bytes: hex, and an address and port put into a packet
// whose checksums are then computed anew (RFC 1071), not updated. Written apart from the core,
// which it judges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/address.h"

namespace penstock::golden {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view hex);
std::string to_hex(const Bytes& bytes);

bool is_tagged(const Bytes& frame);  // with a VLAN tag

enum class Side : uint8_t { kSource, kDestination };

// Of an untagged TCP or UDP packet without IPv6 extension headers.
Endpoint endpoint_of(const Bytes& frame, Side side);
void set_endpoint(Bytes& frame, Side side, const Endpoint& endpoint);

}  // namespace penstock::golden
