// SPDX-License-Identifier: Apache-2.0
#include "dataplane/af_xdp/steering.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "dataplane/af_xdp/skeleton.h"
#include "dataplane/core/held_ports.h"
#include "dataplane/tables/convert.h"

namespace penstock {
namespace {

constexpr const char* kProgramName = "steer";

// A file in memory with the object that this binary carries.
Result<Fd> object_file() {
  size_t bytes = 0;
  const void* elf = steer::elf_bytes(&bytes);
  Fd file(memfd_create("steer.bpf.o", 0));
  if (!file || write(file.get(), elf, bytes) != static_cast<ssize_t>(bytes)) {
    return fail_errno("cannot hold the steering program in memory", errno);
  }
  return file;
}

// The program attached to an interface; without one an empty name.
struct Attached {
  std::string name;
  std::vector<uint32_t> maps;  // their ids
};

Result<Attached> read_program(int program_fd) {
  Attached found;
  found.maps.resize(8);
  bpf_prog_info info{};
  info.nr_map_ids = static_cast<uint32_t>(found.maps.size());
  info.map_ids = reinterpret_cast<uintptr_t>(found.maps.data());
  uint32_t bytes = sizeof info;
  if (program_fd < 0 || bpf_obj_get_info_by_fd(program_fd, &info, &bytes) != 0) {
    return fail_errno("cannot read the attached XDP program", errno);
  }
  found.name = std::string(info.name, strnlen(info.name, sizeof info.name));
  found.maps.resize(std::min<size_t>(info.nr_map_ids, found.maps.size()));
  return found;
}

Result<Attached> find_attached(uint32_t interface_index) {
  uint32_t id = 0;
  if (bpf_xdp_query_id(static_cast<int>(interface_index), 0, &id) != 0 || id == 0)
    return Attached{};
  return read_program(Fd(bpf_prog_get_fd_by_id(id)).get());
}

Result<Fd> open_map(const Attached& attached, const std::string& name) {
  for (const uint32_t id : attached.maps) {
    Fd map(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    uint32_t bytes = sizeof info;
    if (map && bpf_obj_get_info_by_fd(map.get(), &info, &bytes) == 0 && name == info.name) {
      return map;
    }
  }
  return fail(ErrorKind::kNotFound, "the steering program is not attached");
}

ps_held_address held_address(const IpAddress& address) {
  return {to_wire(address), static_cast<uint32_t>(address.is_ipv4() ? PS_IPV4 : PS_IPV6)};
}

Result<void> write_held(const Attached& program, const HeldPorts& ports) {
  auto map = open_map(program, "held");
  if (!map) return tl::unexpected(map.error());
  for (const auto& [address, range] : ports) {
    const ps_held_address key = held_address(address);
    const ps_held_ports value{range.first, static_cast<uint16_t>(range.second - range.first)};
    if (bpf_map_update_elem(map->get(), &key, &value, BPF_ANY) != 0) {
      return fail_errno("cannot hold back services' packets from the kernel", errno);
    }
  }
  std::vector<ps_held_address> others;
  ps_held_address next{};
  for (const ps_held_address* at = nullptr; bpf_map_get_next_key(map->get(), at, &next) == 0;) {
    others.push_back(next);
    at = &others.back();
  }
  for (const ps_held_address& key : others) {
    const uint8_t family = static_cast<uint8_t>(key.family);
    if (!ports.contains(from_wire(family, key.address))) bpf_map_delete_elem(map->get(), &key);
  }
  return {};
}

}  // namespace

void Steering::Destroy::operator()(steer* skeleton) const {
  steer::destroy(skeleton);
}

Steering::Steering(std::unique_ptr<steer, Destroy> skeleton, Fd object)
    : skeleton_(std::move(skeleton)),
      object_(std::move(object)),
      object_path_(fmt::format("/proc/self/fd/{}", object_.get())) {}

Result<Steering> Steering::load() {
  std::unique_ptr<steer, Destroy> skeleton(steer::open_and_load());
  if (!skeleton) return fail_errno("the kernel refused the steering program", errno);
  auto object = object_file();
  if (!object) return tl::unexpected(object.error());
  return Steering(std::move(skeleton), std::move(*object));
}

bool Steering::pass_to_kernel(uint32_t interface_index, std::span<const uint8_t> frame) const {
  xdp_md context{};
  context.data_end = static_cast<uint32_t>(frame.size());
  context.ingress_ifindex = interface_index;
  LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
  return bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.let_pass), &run) == 0;
}

Result<void> check_steerable(const std::string& interface, uint32_t index, bool was_ours) {
  auto attached = find_attached(index);
  if (!attached) return tl::unexpected(attached.error());
  if (attached->name.empty() || (was_ours && attached->name == kProgramName)) return {};
  return fail(ErrorKind::kConflict,
              fmt::format("{0} has the XDP program {1}{2} already: end what attached it, or detach "
                          "it with `ip link set dev {0} xdp off`",
                          interface, attached->name,
                          attached->name == kProgramName ? " of another penstock-dpdk" : ""));
}

Result<void> hold_back(uint32_t interface_index, const HeldPorts& ports) {
  auto attached = find_attached(interface_index);
  return attached ? write_held(*attached, ports) : tl::unexpected(attached.error());
}

Result<void> hold_back_by(int program_fd, const HeldPorts& ports) {
  auto program = read_program(program_fd);
  return program ? write_held(*program, ports) : tl::unexpected(program.error());
}

Result<void> detach_steering(uint32_t interface_index) {
  auto attached = find_attached(interface_index);
  if (!attached) return tl::unexpected(attached.error());
  if (attached->name != kProgramName) return {};
  if (bpf_xdp_detach(static_cast<int>(interface_index), 0, nullptr) == 0) return {};
  return fail_errno("cannot detach the steering program", errno);
}

uint32_t receive_queues(const std::string& interface) {
  const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (ioctl(socket_fd.get(), SIOCETHTOOL, &request) != 0) return 1;
  return std::max(1u, channels.combined_count + channels.rx_count);
}

}  // namespace penstock
