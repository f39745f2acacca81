// SPDX-License-Identifier: Apache-2.0
// What an interface does to packets before XDP sees them, and what of it corrupts or loses what XDP
// sends on. Pure: offload_reader.h asks the kernel. What was measured is in README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock {

// Those that are on, or that can be changed, by the kernel's names: "rx-lro".
using FeatureNames = std::set<std::string>;

// The other end of a veth: what it leaves to hardware arrives undone at this one.
struct VethPeer {
  std::string interface;           // empty: it cannot be told
  std::string network_namespace;   // as `ip netns` names it; empty: this one, or it has no name
  std::optional<FeatureNames> on;  // none: it cannot be read from here
};

// Feature bits of virtio_net (VIRTIO 1.2 section 5.1.3), whose kernel header C++ cannot read.
enum VirtioFeature : uint8_t {
  kVirtioGuestChecksum = 1,        // the guest takes unfinished checksums
  kVirtioGuestOffloadsChange = 2,  // and may change its mind about this and what follows
  kVirtioGuestTso4 = 7,
  kVirtioGuestTso6 = 8,
  kVirtioGuestEcn = 9,
  kVirtioGuestUfo = 10,
};

struct InterfaceOffloads {
  std::string interface;
  std::string driver;
  FeatureNames on;
  FeatureNames changeable;       // the others are fixed
  bool has_vlans = false;        // VLAN interfaces on it
  uint64_t virtio_features = 0;  // bit VirtioFeature: negotiated with the host
  std::optional<VethPeer> peer;  // of a veth
};

struct OffloadProblem {
  std::string text;     // what happens, without a trailing full stop
  std::string command;  // the line to run; empty: the text says what to do instead
  bool certain = true;  // false: whether the line has been run cannot be seen from here
  bool operator==(const OffloadProblem&) const = default;
};

std::vector<OffloadProblem> offload_problems(const InterfaceOffloads& offloads);

// A line for people: what happens, and what to run.
std::string to_string(const OffloadProblem& problem);

}  // namespace penstock
