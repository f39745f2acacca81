// SPDX-License-Identifier: Apache-2.0
// The kernel keeps a VLAN device's tag and the index of what it is on; the rest is walking down.
#include "controlplane/netlink/stacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace penstock {
namespace {

constexpr std::string_view kVlanKind = "vlan";
constexpr const char* kWayOut =
    "name a VLAN that is on the network card itself, such as one of "
    "`ip link add link eth0 name eth0.100 type vlan id 100`";

// Devices of which XDP sees frames as they come in, tags and all. A bridge, a bond and their like
// hand on what others have received.
bool shows_tags(const Link& link) {
  constexpr std::array<std::string_view, 3> kKinds{"", "veth", "tun"};
  return std::find(kKinds.begin(), kKinds.end(), link.kind) != kKinds.end();
}

tl::unexpected<Error> cannot(std::string why) {
  return fail(ErrorKind::kUnsupported, fmt::format("{}: {}", std::move(why), kWayOut));
}

}  // namespace

uint32_t find_index(const Links& links, const std::string& name) {
  const auto found = std::find_if(links.begin(), links.end(),
                                  [&](const auto& entry) { return entry.second.name == name; });
  return found == links.end() ? 0 : found->first;
}

Result<InterfaceStack> find_stack(const Links& links, const std::string& name) {
  InterfaceStack stack{name, name, {}};
  auto at = links.find(find_index(links, name));
  while (at != links.end() && at->second.kind == kVlanKind) {
    const Link& link = at->second;
    if (link.linked_namespace) {
      return cannot(fmt::format("{} is on a device in another network namespace", link.name));
    }
    if (!link.tag) return cannot(fmt::format("the kernel does not tell the VLAN of {}", link.name));
    stack.tags.insert(stack.tags.begin(), *link.tag);
    at = links.find(link.linked_index);
    if (at == links.end()) return cannot(fmt::format("what {} is on is gone", link.name));
    stack.device = at->second.name;
  }
  if (stack.tags.size() > kMaxVlanTags) {
    return cannot(
        fmt::format("frames of {} have {} VLAN tags, and {} is the most that penstock "
                    "forwards by",
                    name, stack.tags.size(), kMaxVlanTags));
  }
  if (!stack.tags.empty() && !shows_tags(at->second)) {
    return cannot(fmt::format("{} is a VLAN on {}, a {}, where XDP does not see its tags", name,
                              stack.device, at->second.kind));
  }
  return stack;
}

Result<std::vector<InterfaceStack>> read_stacks(const std::vector<std::string>& names) {
  const auto socket = RtSocket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto links = read_links(*socket);
  if (!links) return tl::unexpected(links.error());
  std::vector<InterfaceStack> stacks;
  for (const std::string& name : names) {
    auto stack = find_stack(*links, name);
    if (!stack) return tl::unexpected(stack.error());
    stacks.push_back(std::move(*stack));
  }
  return stacks;
}

}  // namespace penstock
