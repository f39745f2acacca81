// SPDX-License-Identifier: Apache-2.0
// A function a driver, and one for what any of them may do.
#include "controlplane/netlink/offloads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace penstock {
namespace {

using Problems = std::vector<OffloadProblem>;

bool has_any(const FeatureNames& on, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* name) { return on.contains(name); });
}

// `short_name` is ethtool's own, where it has one.
void add_if_on(Problems& problems, const InterfaceOffloads& offloads, const std::string& feature,
               const char* short_name, const char* text) {
  if (!offloads.on.contains(feature)) return;
  if (offloads.changeable.contains(feature)) {
    problems.push_back({text, fmt::format("ethtool -K {} {} off", offloads.interface, short_name)});
  } else {
    problems.push_back({fmt::format("{}; this driver does not let it be switched off", text), ""});
  }
}

void add_merging(Problems& problems, const InterfaceOffloads& offloads) {
  constexpr const char* kMerged =
      "it merges packets into larger ones: drivers refuse native XDP, or XDP cannot send them on";
  add_if_on(problems, offloads, "rx-lro", "lro", kMerged);
  add_if_on(problems, offloads, "rx-gro-hw", "rx-gro-hw", kMerged);
}

void add_vlan_stripping(Problems& problems, const InterfaceOffloads& offloads) {
  if (!offloads.has_vlans) return;  // it is on by default nearly everywhere, and harms nobody else
  constexpr const char* kStripped =
      "it takes VLAN tags off before XDP sees them: packets of a VLAN are taken for untagged ones";
  add_if_on(problems, offloads, "rx-vlan-hw-parse", "rxvlan", kStripped);
  add_if_on(problems, offloads, "rx-vlan-stag-hw-parse", "rx-vlan-stag-hw-parse", kStripped);
}

// Once a native program is attached, the driver has the host finish checksums and merge nothing:
// if the host lets it, and otherwise refuses the program.
void add_virtio(Problems& problems, const InterfaceOffloads& offloads) {
  const auto negotiated = [&](VirtioFeature feature) {
    return (offloads.virtio_features >> feature & 1) != 0;
  };
  constexpr std::array kInTheWay{kVirtioGuestChecksum, kVirtioGuestTso4, kVirtioGuestTso6,
                                 kVirtioGuestEcn, kVirtioGuestUfo};
  if (negotiated(kVirtioGuestOffloadsChange)) return;
  if (std::none_of(kInTheWay.begin(), kInTheWay.end(), negotiated)) return;
  problems.push_back(
      {"the host hands over merged packets and unfinished checksums, and gives no say in it: the "
       "driver refuses native XDP, and what generic XDP sends on is corrupt; have the host give "
       "the device ctrl_guest_offloads=on, or guest_csum=off,guest_tso4=off,guest_tso6=off,"
       "guest_ecn=off,guest_ufo=off",
       ""});
}

// `settings`: each with a space before it.
OffloadProblem at_peer(const VethPeer& peer, const std::string& settings, const char* harm) {
  const std::string in = peer.network_namespace.empty()
                             ? ""
                             : fmt::format("ip netns exec {} ", peer.network_namespace);
  const std::string interface = peer.interface.empty() ? "OTHER_END" : peer.interface;
  const std::string name = peer.interface.empty() ? "" : peer.interface + ", ";
  std::string text =
      peer.on ? fmt::format("{}its other end, leaves {}", name, harm)
              : fmt::format(
                    "{}its other end, cannot be read from here: unless this has been run "
                    "there, it leaves {}",
                    name, harm);
  return {std::move(text), fmt::format("{}ethtool -K {}{}", in, interface, settings),
          peer.on.has_value()};
}

// A veth hands packets over as its other end sends them, and has no hardware. Its own rx settings
// change nothing. Nor do those of senders further off: what the other end does not offload is done
// before a packet leaves it.
void add_veth(Problems& problems, const InterfaceOffloads& offloads) {
  const VethPeer& peer = *offloads.peer;
  if (!peer.on ||
      has_any(*peer.on, {"tx-checksum-ipv4", "tx-checksum-ip-generic", "tx-checksum-ipv6"})) {
    problems.push_back(at_peer(
        peer, " tx off",
        "checksums to hardware that is not there: what XDP sends on is corrupt, and TCP hangs"));
  }
  if (!offloads.has_vlans) return;
  std::string tags;
  if (!peer.on || peer.on->contains("tx-vlan-hw-insert")) tags += " txvlan off";
  if (!peer.on || peer.on->contains("tx-vlan-stag-hw-insert")) {
    tags += " tx-vlan-stag-hw-insert off";
  }
  if (tags.empty()) return;
  problems.push_back(at_peer(
      peer, tags, "VLAN tags beside its packets: XDP takes those of a VLAN for untagged ones"));
}

}  // namespace

std::vector<OffloadProblem> offload_problems(const InterfaceOffloads& offloads) {
  Problems problems;
  if (offloads.peer) {
    add_veth(problems, offloads);
    return problems;
  }
  if (offloads.driver == "virtio_net") {
    add_virtio(problems, offloads);
  } else {
    add_merging(problems, offloads);
  }
  add_vlan_stripping(problems, offloads);
  return problems;
}

std::string to_string(const OffloadProblem& problem) {
  if (problem.command.empty()) return problem.text;
  return fmt::format("{}; run: {}", problem.text, problem.command);
}

}  // namespace penstock
