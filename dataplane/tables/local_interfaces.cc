// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tables/local_interfaces.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netpacket/packet.h>

#include <cstring>
#include <map>

namespace penstock {
namespace {

std::map<std::string, LocalInterface> local_interfaces() {
  std::map<std::string, LocalInterface> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_PACKET) continue;
    sockaddr_ll address{};
    std::memcpy(&address, entry->ifa_addr, sizeof address);
    LocalInterface& interface = found[entry->ifa_name];
    interface.index = static_cast<uint32_t>(address.sll_ifindex);
    std::memcpy(interface.mac.bytes.data(), address.sll_addr, interface.mac.bytes.size());
  }
  freeifaddrs(list);
  return found;
}

tl::unexpected<Error> no_such_interface(const std::string& name,
                                        const std::map<std::string, LocalInterface>& local) {
  std::vector<std::string> there;
  there.reserve(local.size());
  for (const auto& [other, unused] : local) there.push_back(other);
  return fail(ErrorKind::kNotFound, fmt::format("there is no interface {}: name one of {}", name,
                                                fmt::join(there, ", ")));
}

}  // namespace

Result<std::vector<LocalInterface>> find_interfaces(const std::vector<InterfaceStack>& stacks) {
  const auto local = local_interfaces();
  std::vector<LocalInterface> found;
  for (const InterfaceStack& stack : stacks) {
    for (const std::string& name : {stack.name, stack.device}) {
      if (!local.contains(name)) return no_such_interface(name, local);
    }
    found.push_back({local.at(stack.device).index, local.at(stack.name).mac, stack.tags});
  }
  return found;
}

}  // namespace penstock
