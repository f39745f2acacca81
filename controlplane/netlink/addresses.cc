// SPDX-License-Identifier: Apache-2.0
// Each call has a socket of its own: they are few, at a start, a stop and a change of
// configuration.
#include "controlplane/netlink/addresses.h"

#include <fmt/format.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "controlplane/netlink/announcement.h"
#include "controlplane/netlink/kernel_view.h"

namespace penstock {
namespace {

Result<std::pair<uint32_t, Link>> find_link(const RtSocket& socket, const std::string& name) {
  const auto links = read_links(socket);
  if (!links) return tl::unexpected(links.error());
  std::vector<std::string> names;
  for (const auto& [index, link] : *links) {
    if (link.name == name) return std::pair{index, link};
    names.push_back(link.name);
  }
  return fail(ErrorKind::kNotFound, fmt::format("there is no interface {}: choose one of {}", name,
                                                fmt::join(names, ", ")));
}

// One request to add or remove the address; the kernel's errno.
Result<int> change_address(uint16_t type, uint16_t flags, const std::string& interface,
                           const IpAddress& address) {
  const auto socket = RtSocket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto link = find_link(*socket, interface);
  if (!link) return tl::unexpected(link.error());
  Request<ifaddrmsg> request(type, static_cast<uint16_t>(NLM_F_ACK | flags));
  request->ifa_family = address_family(address);
  request->ifa_prefixlen = static_cast<uint8_t>(address_bytes(address) * 8);
  request->ifa_index = link->first;
  request.put(IFA_LOCAL, address);
  request.put(IFA_ADDRESS, address);
  if (!address.is_ipv4()) {
    request->ifa_flags = IFA_F_NODAD;  // other appliances may have it as well
    const ifa_cacheinfo deprecated{.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
    mnl_attr_put(request.message(), IFA_CACHEINFO, sizeof deprecated, &deprecated);
  }
  return socket->talk(request);
}

}  // namespace

Result<std::vector<IpAddress>> interface_addresses(const std::string& interface) {
  const auto socket = RtSocket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto link = find_link(*socket, interface);
  if (!link) return tl::unexpected(link.error());
  Request<ifaddrmsg> request(RTM_GETADDR, NLM_F_DUMP);
  std::vector<IpAddress> addresses;
  const auto answer = socket->talk(request, [&](const nlmsghdr* found) {
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(found));
    const Attributes attributes(found, sizeof *header);
    if (header->ifa_index != link->first || header->ifa_scope != RT_SCOPE_UNIVERSE) return;
    if (header->ifa_flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)) return;
    auto address = attributes.address(IFA_LOCAL);
    if (!address) address = attributes.address(IFA_ADDRESS);
    if (address) addresses.push_back(*address);
  });
  if (!answer) return tl::unexpected(answer.error());
  if (*answer != 0) return fail_errno("cannot read the addresses of " + interface, *answer);
  return addresses;
}

Result<bool> add_address(const std::string& interface, const IpAddress& address) {
  const auto answer = change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, interface, address);
  if (!answer) return tl::unexpected(answer.error());
  if (*answer == 0) return true;
  if (*answer == EEXIST) return false;
  return fail_errno(fmt::format("cannot put {} on {}", to_string(address), interface), *answer);
}

Result<void> remove_address(const std::string& interface, const IpAddress& address) {
  const auto answer = change_address(RTM_DELADDR, 0, interface, address);
  if (!answer && answer.error().kind == ErrorKind::kNotFound) return {};
  if (!answer) return tl::unexpected(answer.error());
  if (*answer == 0 || *answer == EADDRNOTAVAIL) return {};
  return fail_errno(fmt::format("cannot take {} off {}", to_string(address), interface), *answer);
}

Result<void> announce_address(const std::string& interface, const IpAddress& address) {
  const auto netlink = RtSocket::open();
  if (!netlink) return tl::unexpected(netlink.error());
  const auto link = find_link(*netlink, interface);
  if (!link) return tl::unexpected(link.error());

  const std::string failure =
      fmt::format("cannot announce {} on {}", to_string(address), interface);
  const int packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (packets < 0) return fail_errno(failure, errno);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(link->first);
  int error = 0;
  for (const Frame& frame : announcement_frames(link->second.mac, address)) {
    const ssize_t sent = sendto(packets, frame.data(), frame.size(), 0,
                                reinterpret_cast<const sockaddr*>(&to), sizeof to);
    if (sent < 0) error = errno;
  }
  close(packets);
  if (error != 0) return fail_errno(failure, error);
  return {};
}

}  // namespace penstock
