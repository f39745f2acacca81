// SPDX-License-Identifier: Apache-2.0
// By iproute2, a command a line: an operator reads, and types, the same.
#include "controlplane/sidecar/namespace.h"

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <boost/algorithm/string/classification.hpp>
#include <boost/algorithm/string/split.hpp>
#include <boost/algorithm/string/trim.hpp>

#include "controlplane/sidecar/command.h"

namespace penstock {
namespace {

// Locally administered, and alike on every appliance: no frame with them leaves it.
constexpr MacAddress kHere{{0x02, 0x70, 0x74, 0x6c, 0x73, 0x01}};
constexpr MacAddress kThere{{0x02, 0x70, 0x74, 0x6c, 0x73, 0x02}};

// Lines of commands, words apart by spaces. The first that fails ends it.
Result<void> run_lines(const std::string& text) {
  std::vector<std::string> lines;
  boost::algorithm::split(lines, text, boost::algorithm::is_any_of("\n"));
  for (std::string& line : lines) {
    boost::algorithm::trim(line);
    if (line.empty()) continue;
    std::vector<std::string> words;
    boost::algorithm::split(words, line, boost::algorithm::is_any_of(" "));
    if (auto ran = run_command(words); !ran) return tl::unexpected(ran.error());
  }
  return {};
}

Result<void> make_pair(const std::string& name) {
  if (!has_sidecar_namespace(name)) {
    if (auto made = run_lines(fmt::format("ip netns add {}", name)); !made) return made;
  }
  const bool is_whole = run_command({"ip", "-n", name, "link", "show", "tls0"}).has_value() &&
                        if_nametoindex(kSidecarInterface) != 0;
  if (is_whole) return {};
  if (if_nametoindex(kSidecarInterface) != 0) {  // its other end is elsewhere
    if (auto gone = run_lines(fmt::format("ip link delete {}", kSidecarInterface)); !gone) {
      return gone;
    }
  }
  return run_lines(
      fmt::format("ip link add {} address {} type veth peer name tls0 address {} "
                  "netns {}",
                  kSidecarInterface, to_string(kHere), to_string(kThere), name));
}

}  // namespace

bool has_sidecar_namespace(const std::string& name) {
  return access(("/run/netns/" + name).c_str(), F_OK) == 0;
}

Result<NextHop> make_sidecar_namespace(const std::string& name, uint16_t mtu) {
  auto made = make_pair(name);
  // A checksum that is left to a NIC would be left to nobody, and without GRO the kernel drops what
  // XDP redirects to this end. The port range is of each client's address.
  if (made) {
    made = run_lines(fmt::format(R"(
        ip link set {here} mtu {mtu} up
        ip -n {there} link set lo up
        ip -n {there} link set tls0 mtu {mtu} up
        ip -n {there} neigh replace 169.254.80.254 lladdr {mac} dev tls0 nud permanent
        ip -n {there} neigh replace fe80::1 lladdr {mac} dev tls0 nud permanent
        ip -n {there} route replace default via 169.254.80.254 dev tls0 onlink
        ip -n {there} -6 route replace default via fe80::1 dev tls0
        ip -n {there} route replace local default dev lo table 100
        ip -n {there} -6 route replace local default dev lo table 100
        ip netns exec {there} ethtool -K tls0 tx off gro on
        ip netns exec {there} sysctl -q net.ipv4.ip_local_port_range={ports}
        ip netns exec {there} sysctl -q net.ipv4.tcp_tw_reuse=1
        ip netns exec {there} sysctl -q net.ipv4.conf.all.rp_filter=0
        ip netns exec {there} sysctl -q net.ipv4.conf.tls0.rp_filter=0)",
                                 fmt::arg("here", kSidecarInterface), fmt::arg("there", name),
                                 fmt::arg("mtu", mtu), fmt::arg("mac", to_string(kHere)),
                                 fmt::arg("ports", "1024\t65535")));
  }
  for (const char* family : {"-4", "-6"}) {
    if (!made) break;
    const std::vector<std::string> rules{"ip", "-n", name, family, "rule", "show", "pref", "100"};
    const auto rule = run_command(rules);
    if (rule && !rule->empty()) continue;
    made =
        run_lines(fmt::format("ip -n {} {} rule add iif tls0 lookup 100 pref 100", name, family));
  }
  if (!made) {
    return fail(made.error().kind, fmt::format("cannot make the sidecar's network namespace {}: {}",
                                               name, made.error().message));
  }
  return NextHop{if_nametoindex(kSidecarInterface), kHere, kThere, mtu, {}};
}

Result<void> remove_sidecar_namespace(const std::string& name) {
  if (if_nametoindex(kSidecarInterface) != 0) {
    if (auto gone = run_lines(fmt::format("ip link delete {}", kSidecarInterface)); !gone) {
      return gone;
    }
  }
  if (!has_sidecar_namespace(name)) return {};
  return run_lines(fmt::format("ip netns delete {}", name));
}

}  // namespace penstock
