// SPDX-License-Identifier: Apache-2.0
// Own features, then what the driver calls for.
#include "controlplane/netlink/offload_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "controlplane/netlink/ethtool.h"
#include "controlplane/netlink/kernel_view.h"
#include "controlplane/netlink/stacks.h"
#include "dataplane/fd.h"

namespace penstock {
namespace {

constexpr const char* kNamespaces = "/run/netns";  // where ip-netns(8) keeps them

Fd open_namespace(const std::filesystem::path& path) {
  return Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// Empty: it has none, or not one that can be seen.
std::string namespace_name(const RtSocket& socket, uint32_t id) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(kNamespaces, none)) {
    const Fd found = open_namespace(entry.path());
    if (!found) continue;
    if (read_namespace_id(socket, found.get()).value_or(std::nullopt) == id) {
      return entry.path().filename();
    }
  }
  return "";
}

// A thread has a network namespace of its own, and takes it along when it ends.
Result<Features> read_features_in(const std::string& name, const std::string& interface) {
  Result<Features> features = fail(ErrorKind::kSystem, "cannot enter " + name);
  std::thread([&] {
    const Fd target = open_namespace(std::filesystem::path(kNamespaces) / name);
    if (setns(target.get(), CLONE_NEWNET) == 0) features = read_features(interface);
  }).join();
  return features;
}

VethPeer read_peer(const RtSocket& socket, const Links& links, const Link& link) {
  if (!link.linked_namespace) {
    const auto other = links.find(link.linked_index);
    if (other == links.end()) return {};
    const auto features = read_features(other->second.name);
    if (!features) return {other->second.name, "", std::nullopt};
    return {other->second.name, "", features->on};
  }
  VethPeer peer;
  peer.interface = read_link_name(socket, *link.linked_namespace, link.linked_index).value_or("");
  peer.network_namespace = namespace_name(socket, *link.linked_namespace);
  if (peer.interface.empty() || peer.network_namespace.empty()) return peer;
  if (const auto features = read_features_in(peer.network_namespace, peer.interface)) {
    peer.on = features->on;
  }
  return peer;
}

// The file is a line of '0' and '1', bit 0 first.
uint64_t read_virtio_features(const std::string& interface) {
  std::string line;
  std::getline(std::ifstream(fmt::format("/sys/class/net/{}/device/features", interface)), line);
  uint64_t bits = 0;
  for (size_t bit = 0; bit < std::min<size_t>(line.size(), 64); bit++) {
    if (line[bit] == '1') bits |= uint64_t{1} << bit;
  }
  return bits;
}

}  // namespace

Result<InterfaceOffloads> read_offloads(const std::string& interface) {
  const auto features = read_features(interface);
  if (!features) return tl::unexpected(features.error());
  const auto socket = RtSocket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto links = read_links(*socket);
  if (!links) return tl::unexpected(links.error());

  InterfaceOffloads offloads{.interface = interface,
                             .driver = read_driver(interface).value_or(""),
                             .on = features->on,
                             .changeable = features->changeable};
  const auto own = std::find_if(links->begin(), links->end(),
                                [&](const auto& entry) { return entry.second.name == interface; });
  if (own == links->end()) return offloads;
  offloads.has_vlans = std::any_of(links->begin(), links->end(), [&](const auto& entry) {
    const Link& link = entry.second;
    return link.kind == "vlan" && !link.linked_namespace && link.linked_index == own->first;
  });
  if (own->second.kind == "veth") offloads.peer = read_peer(*socket, *links, own->second);
  if (offloads.driver == "virtio_net") offloads.virtio_features = read_virtio_features(interface);
  return offloads;
}

std::vector<OffloadProblem> find_offload_problems(const std::string& interface) {
  const auto stacks = read_stacks({interface});
  if (!stacks) return {OffloadProblem{stacks.error().message, ""}};
  const auto offloads = read_offloads(stacks->front().device);
  return offloads ? offload_problems(*offloads) : std::vector<OffloadProblem>{};
}

}  // namespace penstock
