// SPDX-License-Identifier: Apache-2.0
// One request a function.
#include "controlplane/netlink/kernel_view.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <net/if.h>

#include <algorithm>

namespace penstock {
namespace {

Result<void> expect_success(const Result<int>& answer, const char* what) {
  if (!answer) return tl::unexpected(answer.error());
  if (*answer != 0) return fail_errno(what, *answer);
  return {};
}

// Of a VLAN's own data; none if it has no VLAN in it.
std::optional<VlanTag> tag_of(const nlattr* data) {
  const Attributes attributes(data);
  const auto vlan = attributes.u16(IFLA_VLAN_ID);
  if (!vlan) return std::nullopt;
  return VlanTag{*vlan, attributes.u16(IFLA_VLAN_PROTOCOL) == htons(ETH_P_8021AD)};
}

Result<void> change_neighbour(const RtSocket& socket, uint32_t interface_index,
                              const IpAddress& via, uint16_t state, uint8_t flags) {
  Request<ndmsg> request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE);
  request->ndm_family = address_family(via);
  request->ndm_ifindex = static_cast<int>(interface_index);
  request->ndm_state = state;
  request->ndm_flags = flags;
  request.put(NDA_DST, via);
  return expect_success(socket.talk(request), "cannot have a neighbour resolved");
}

}  // namespace

Link link_from(const nlmsghdr* message) {
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  const Attributes attributes(message, sizeof *header);
  Link link;
  if (const nlattr* name = attributes.get(IFLA_IFNAME)) link.name = mnl_attr_get_str(name);
  link.mac = attributes.mac(IFLA_ADDRESS).value_or(MacAddress{});
  link.mtu = static_cast<uint16_t>(std::min(attributes.u32(IFLA_MTU).value_or(0), 65535u));
  link.linked_index = attributes.u32(IFLA_LINK).value_or(0);
  link.linked_namespace = attributes.u32(IFLA_LINK_NETNSID);
  link.up = (header->ifi_flags & IFF_UP) && (header->ifi_flags & IFF_RUNNING);
  if (const nlattr* info = attributes.get(IFLA_LINKINFO)) {
    const Attributes inner(info);
    if (const nlattr* kind = inner.get(IFLA_INFO_KIND)) link.kind = mnl_attr_get_str(kind);
    const nlattr* data = inner.get(IFLA_INFO_DATA);
    if (data && link.kind == "vlan") link.tag = tag_of(data);
  }
  return link;
}

Result<Links> read_links(const RtSocket& socket) {
  Request<ifinfomsg> request(RTM_GETLINK, NLM_F_DUMP);
  Links links;
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
    links[static_cast<uint32_t>(header->ifi_index)] = link_from(message);
  });
  if (auto read = expect_success(answer, "cannot read the interfaces"); !read) {
    return tl::unexpected(read.error());
  }
  return links;
}

Result<std::string> read_link_name(const RtSocket& socket, uint32_t namespace_id, uint32_t index) {
  Request<ifinfomsg> request(RTM_GETLINK, 0);
  request->ifi_index = static_cast<int>(index);
  mnl_attr_put_u32(request.message(), IFLA_TARGET_NETNSID, namespace_id);
  std::string name;
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    const Attributes attributes(message, sizeof(ifinfomsg));
    if (const nlattr* text = attributes.get(IFLA_IFNAME)) name = mnl_attr_get_str(text);
  });
  if (!answer) return tl::unexpected(answer.error());
  return name;  // a refusal says that there is none, or not for us
}

Result<std::optional<uint32_t>> read_namespace_id(const RtSocket& socket, int descriptor) {
  Request<rtgenmsg> request(RTM_GETNSID, 0);
  mnl_attr_put_u32(request.message(), NETNSA_FD, static_cast<uint32_t>(descriptor));
  std::optional<uint32_t> id;
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    id = Attributes(message, sizeof(rtgenmsg)).u32(NETNSA_NSID);
  });
  if (!answer) return tl::unexpected(answer.error());
  if (id == static_cast<uint32_t>(NETNSA_NSID_NOT_ASSIGNED)) return std::nullopt;
  return id;
}

Result<Neighbours> read_neighbours(const RtSocket& socket) {
  Request<ndmsg> request(RTM_GETNEIGH, NLM_F_DUMP);
  Neighbours neighbours;
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    const auto* header = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof *header);
    const auto address = attributes.address(NDA_DST);
    if (!address) return;
    neighbours[{static_cast<uint32_t>(header->ndm_ifindex), *address}] = {
        attributes.mac(NDA_LLADDR), header->ndm_state};
  });
  if (auto read = expect_success(answer, "cannot read the neighbours"); !read) {
    return tl::unexpected(read.error());
  }
  return neighbours;
}

Result<std::optional<Route>> read_route(const RtSocket& socket, const IpAddress& destination) {
  Request<rtmsg> request(RTM_GETROUTE, 0);
  request->rtm_family = address_family(destination);
  request->rtm_dst_len = static_cast<uint8_t>(address_bytes(destination) * 8);
  request.put(RTA_DST, destination);
  std::optional<Route> route;
  // A refusal is an answer too: there is no route, or one that says unreachable.
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof *header);
    const auto interface_index = attributes.u32(RTA_OIF);
    const bool local = header->rtm_type == RTN_LOCAL;
    if (!interface_index || (header->rtm_type != RTN_UNICAST && !local)) return;
    auto via = attributes.address(RTA_GATEWAY);
    if (!via) via = attributes.via(RTA_VIA);
    route = Route{*interface_index, via.value_or(destination), local};
  });
  if (!answer) return tl::unexpected(answer.error());
  return route;
}

Result<std::map<Family, Route>> read_default_routes(const RtSocket& socket) {
  Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP);
  std::map<Family, Route> routes;
  std::map<Family, uint32_t> metrics;
  const auto answer = socket.talk(request, [&](const nlmsghdr* message) {
    const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    const Attributes attributes(message, sizeof *header);
    const auto interface_index = attributes.u32(RTA_OIF);
    auto via = attributes.address(RTA_GATEWAY);
    if (!via) via = attributes.via(RTA_VIA);
    if (header->rtm_dst_len != 0 || header->rtm_table != RT_TABLE_MAIN ||
        header->rtm_type != RTN_UNICAST || !interface_index || !via) {
      return;
    }
    const Family family = header->rtm_family == AF_INET ? Family::kIpv4 : Family::kIpv6;
    const uint32_t metric = attributes.u32(RTA_PRIORITY).value_or(0);
    if (routes.contains(family) && metrics[family] <= metric) return;
    routes[family] = Route{*interface_index, *via, false};
    metrics[family] = metric;
  });
  if (auto read = expect_success(answer, "cannot read the routes"); !read) {
    return tl::unexpected(read.error());
  }
  return routes;
}

Result<void> resolve_neighbour(const RtSocket& socket, uint32_t interface_index,
                               const IpAddress& via) {
  return change_neighbour(socket, interface_index, via, NUD_NONE, NTF_USE);
}

Result<void> probe_neighbour(const RtSocket& socket, uint32_t interface_index,
                             const IpAddress& via) {
  return change_neighbour(socket, interface_index, via, NUD_PROBE, 0);
}

}  // namespace penstock
