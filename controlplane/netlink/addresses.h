// SPDX-License-Identifier: Apache-2.0
// Interface addresses by rtnetlink, and what makes the kernel answer for a VIP: an address of the
// loopback for IPv4. For IPv6 the kernel answers neighbour solicitations only for addresses of the
// interface that they come in by, so a VIP inside a segment's own prefix goes on the interface.
// Either is then announced (announcement.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

// Global-scope addresses of an interface that new connections may have, in the kernel's order: not
// the deprecated. kNotFound: no such interface (names those there are).
Result<std::vector<IpAddress>> interface_addresses(const std::string& interface);

// Puts address/32 or /128 on the interface, deprecated (RFC 4862 5.5.4) if it is IPv6, so that the
// kernel does not choose it for its own connections. False: it was there already (then it is not
// ours to remove).
Result<bool> add_address(const std::string& interface, const IpAddress& address);
// The address or the interface not there any more: success.
Result<void> remove_address(const std::string& interface, const IpAddress& address);

// Tells the interface's segment that `address` is at its MAC. Needs CAP_NET_RAW.
Result<void> announce_address(const std::string& interface, const IpAddress& address);

}  // namespace penstock
