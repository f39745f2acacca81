// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of links, neighbours and routes, as values: asked anew each time, nothing
// kept.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "controlplane/netlink/rtnetlink.h"
#include "dataplane/vlan.h"

namespace penstock {

struct Link {
  std::string name;
  MacAddress mac;
  bool up = false;
  uint16_t mtu = 0;  // 65535 for those above it, such as the loopback's
  std::string kind;  // "veth", "vlan", ...; empty: a device of its own
  // The other end of a veth, what a VLAN is on; 0: none. An index in the network namespace that has
  // the id below here; none: in the same.
  uint32_t linked_index = 0;
  std::optional<uint32_t> linked_namespace;
  std::optional<VlanTag> tag;  // of a VLAN
};

struct Neighbour {
  std::optional<MacAddress> mac;
  uint16_t state = 0;  // NUD_*
};

using Links = std::map<uint32_t, Link>;  // by interface index
using Neighbours = std::map<std::pair<uint32_t, IpAddress>, Neighbour>;

struct Route {
  uint32_t interface_index = 0;
  IpAddress via;       // the gateway, or the destination itself
  bool local = false;  // the destination is this machine
};

// From a message about one link: pure.
Link link_from(const nlmsghdr* message);
Result<Links> read_links(const RtSocket& socket);
// Empty: there is no such link in that namespace, or it may not be looked into.
Result<std::string> read_link_name(const RtSocket& socket, uint32_t namespace_id, uint32_t index);
// By a descriptor of it; none: this namespace has no id for it.
Result<std::optional<uint32_t>> read_namespace_id(const RtSocket& socket, int descriptor);
Result<Neighbours> read_neighbours(const RtSocket& socket);
// nullopt: no route.
Result<std::optional<Route>> read_route(const RtSocket& socket, const IpAddress& destination);

// Of the main table, the preferred of each family; none that leads nowhere.
Result<std::map<Family, Route>> read_default_routes(const RtSocket& socket);

// Asks the kernel to resolve a neighbour that it does not know, or to probe at once one that it
// does. Answers at once.
Result<void> resolve_neighbour(const RtSocket& socket, uint32_t interface_index,
                               const IpAddress& via);
Result<void> probe_neighbour(const RtSocket& socket, uint32_t interface_index,
                             const IpAddress& via);

}  // namespace penstock
