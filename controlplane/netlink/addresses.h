// SPDX-License-Identifier: Apache-2.0
// Interface addresses by rtnetlink, and the announcement of VIPs: on the loopback so that the kernel answers ARP and
// neighbour discovery, then a gratuitous ARP (RFC 5227) or an unsolicited neighbour advertisement (RFC 4861 7.2.6).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

// Global-scope addresses of an interface, in the kernel's order. kNotFound: no such interface (names those there are).
Result<std::vector<IpAddress>> interface_addresses(const std::string& interface);

// Puts address/32 or /128 on `lo`. False: it was there already (then it is not ours to remove).
Result<bool> add_loopback_address(const IpAddress& address);
// Not there any more: success.
Result<void> remove_loopback_address(const IpAddress& address);

// Tells the interface's segment that `address` is at its MAC. Needs CAP_NET_RAW.
Result<void> announce_address(const std::string& interface, const IpAddress& address);

}  // namespace penstock
