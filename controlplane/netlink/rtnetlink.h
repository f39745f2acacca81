// SPDX-License-Identifier: Apache-2.0
// A request and its answer over rtnetlink(7), by libmnl, and the pieces of messages that penstock
// reads.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

uint8_t address_family(const IpAddress& address);  // AF_INET, AF_INET6
uint16_t address_bytes(const IpAddress& address);  // 4, 16

// A message under construction: netlink's header, then `Header` (ndmsg, rtmsg, ...) zeroed, then
// attributes.
template <typename Header>
class Request {
 public:
  // flags: NLM_F_*, in addition to NLM_F_REQUEST.
  Request(uint16_t type, uint16_t flags) : message_(mnl_nlmsg_put_header(bytes_.data())) {
    message_->nlmsg_type = type;
    message_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header_ = static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  Header* operator->() { return header_; }
  nlmsghdr* message() { return message_; }
  void put(uint16_t attribute, const IpAddress& address) {
    mnl_attr_put(message_, attribute, address_bytes(address), address.bytes.data());
  }

 private:
  alignas(nlmsghdr) std::array<char, 256> bytes_{};  // the largest request here takes 72
  nlmsghdr* message_;
  Header* header_;
};

class RtSocket {
 public:
  using Each = std::function<void(const nlmsghdr*)>;

  // The socket belongs to the network namespace that the calling thread is in.
  static Result<RtSocket> open();
  // RTNLGRP_*: tells this socket of changes of that kind from now on.
  Result<void> subscribe(int group);

  // Sends a request and calls `each` with every message of the answer, waiting for it: the kernel
  // answers at once. The value is 0, or the errno that the kernel refused with.
  template <typename Header>
  Result<int> talk(
      Request<Header>& request, const Each& each = [](const nlmsghdr*) {}) const {
    return talk(request.message(), each);
  }

  int fd() const { return mnl_socket_get_fd(socket_.get()); }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };

  explicit RtSocket(mnl_socket* socket) : socket_(socket) {}
  Result<int> talk(nlmsghdr* request, const Each& each) const;

  std::unique_ptr<mnl_socket, Close> socket_;
};

// The attributes of a message, or of one of them, by type; `header_bytes` is the size of its fixed
// part. Wrong lengths read as absent.
class Attributes {
 public:
  Attributes(const nlmsghdr* message, size_t header_bytes);
  explicit Attributes(const nlattr* nest);

  const nlattr* get(uint16_t type) const { return type < list_.size() ? list_[type] : nullptr; }
  std::optional<uint16_t> u16(uint16_t type) const;
  std::optional<uint32_t> u32(uint16_t type) const;
  std::optional<IpAddress> address(uint16_t type) const;  // its family by its length
  std::optional<IpAddress> via(uint16_t type) const;  // struct rtvia: a gateway of the other family
  std::optional<MacAddress> mac(uint16_t type) const;

 private:
  static int keep(const nlattr* attribute, void* list);

  std::array<const nlattr*, 64> list_{};
};

}  // namespace penstock
