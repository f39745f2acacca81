// SPDX-License-Identifier: Apache-2.0
// libmnl's socket and callbacks, wrapped.
#include "controlplane/netlink/rtnetlink.h"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

namespace penstock {
namespace {

constexpr size_t kReceiveBytes = 32768;  // what the kernel fills a dump's datagrams up to

unsigned next_sequence() {
  static std::atomic<unsigned> sequence{1};
  return sequence++;
}

int call_each(const nlmsghdr* message, void* each) {
  (*static_cast<const RtSocket::Each*>(each))(message);
  return MNL_CB_OK;
}

std::optional<IpAddress> address_from(const void* bytes, size_t size) {
  if (size != 4 && size != 16) return std::nullopt;
  IpAddress address;
  address.family = size == 4 ? Family::kIpv4 : Family::kIpv6;
  std::memcpy(address.bytes.data(), bytes, size);
  return address;
}

}  // namespace

uint8_t address_family(const IpAddress& address) {
  return address.is_ipv4() ? AF_INET : AF_INET6;
}

uint16_t address_bytes(const IpAddress& address) {
  return address.is_ipv4() ? 4 : 16;
}

Result<RtSocket> RtSocket::open() {
  RtSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket.socket_) return fail_errno("cannot open a netlink socket", errno);
  if (mnl_socket_bind(socket.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return fail_errno("cannot bind a netlink socket", errno);
  }
  return socket;
}

Result<void> RtSocket::subscribe(int group) {
  if (mnl_socket_setsockopt(socket_.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0) {
    return {};
  }
  return fail_errno("cannot be told of changes over netlink", errno);
}

Result<int> RtSocket::talk(nlmsghdr* request, const Each& each) const {
  std::vector<char> buffer(kReceiveBytes);
  // A dump that a change interrupted ended the last talk early: its rest is still on the way.
  while (recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
  }
  request->nlmsg_seq = next_sequence();
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) {
    return fail_errno("cannot ask the kernel over netlink", errno);
  }
  const bool ends_with_done = request->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK);
  while (true) {
    const ssize_t bytes = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (bytes < 0) return fail_errno("cannot read the kernel's answer over netlink", errno);
    const int result =
        mnl_cb_run(buffer.data(), static_cast<size_t>(bytes), request->nlmsg_seq,
                   mnl_socket_get_portid(socket_.get()), call_each, const_cast<Each*>(&each));
    if (result < 0) return errno;
    if (result == MNL_CB_STOP || !ends_with_done) return 0;
  }
}

int Attributes::keep(const nlattr* attribute, void* list) {
  auto& kept = *static_cast<decltype(list_)*>(list);
  const uint16_t type = mnl_attr_get_type(attribute);
  if (type < kept.size()) kept[type] = attribute;
  return MNL_CB_OK;
}

Attributes::Attributes(const nlmsghdr* message, size_t header_bytes) {
  mnl_attr_parse(message, static_cast<unsigned>(header_bytes), keep, &list_);
}

Attributes::Attributes(const nlattr* nest) {
  mnl_attr_parse_nested(nest, keep, &list_);
}

std::optional<uint16_t> Attributes::u16(uint16_t type) const {
  const nlattr* attribute = get(type);
  if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(uint16_t)) return std::nullopt;
  return mnl_attr_get_u16(attribute);
}

std::optional<uint32_t> Attributes::u32(uint16_t type) const {
  const nlattr* attribute = get(type);
  if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(uint32_t)) return std::nullopt;
  return mnl_attr_get_u32(attribute);
}

std::optional<IpAddress> Attributes::address(uint16_t type) const {
  const nlattr* attribute = get(type);
  if (!attribute) return std::nullopt;
  return address_from(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

std::optional<IpAddress> Attributes::via(uint16_t type) const {
  const nlattr* attribute = get(type);
  if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(rtvia)) return std::nullopt;
  const auto* via = static_cast<const rtvia*>(mnl_attr_get_payload(attribute));
  return address_from(via->rtvia_addr, mnl_attr_get_payload_len(attribute) - sizeof(rtvia));
}

std::optional<MacAddress> Attributes::mac(uint16_t type) const {
  const nlattr* attribute = get(type);
  MacAddress mac;
  if (!attribute || mnl_attr_get_payload_len(attribute) != mac.bytes.size()) return std::nullopt;
  std::memcpy(mac.bytes.data(), mnl_attr_get_payload(attribute), mac.bytes.size());
  return mac;
}

}  // namespace penstock
