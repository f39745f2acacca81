// SPDX-License-Identifier: Apache-2.0
// The Ethernet frames that tell a segment where an address is: gratuitous ARP (RFC 5227) and the
// unsolicited neighbour advertisement (RFC 4861 section 7.2.6). Pure bytes; addresses.h sends them.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/address.h"

namespace penstock {

using Frame = std::vector<uint8_t>;

// For IPv4 a request and a reply, since some listeners learn from only one of them; for IPv6 one
// advertisement.
std::vector<Frame> announcement_frames(const MacAddress& mac, const IpAddress& address);

}  // namespace penstock
