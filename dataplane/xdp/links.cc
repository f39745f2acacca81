// SPDX-License-Identifier: Apache-2.0
// BPF links of type XDP (BPF_LINK_CREATE): they hold the attachment as long as their pin exists.
#include "dataplane/xdp/links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace penstock {
namespace {

constexpr const char* kLinkPrefix = "link_";

std::string error_text(int error_number) {
  return std::generic_category().message(error_number);
}

// Zero when the link is none of an interface any more: it was deleted, and perhaps made again under
// its name.
uint32_t linked_interface(int link_fd) {
  bpf_link_info info{};
  uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(link_fd, &info, &bytes) != 0 || info.type != BPF_LINK_TYPE_XDP) {
    return 0;
  }
  return info.xdp.ifindex;
}

std::string attached_mode(uint32_t index) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (bpf_xdp_query(static_cast<int>(index), 0, &query) != 0) return "unknown";
  switch (query.attach_mode) {
    case XDP_ATTACHED_DRV: return "native";
    case XDP_ATTACHED_SKB: return "generic";
    case XDP_ATTACHED_HW: return "offloaded";
    default: return "none";
  }
}

tl::unexpected<Error> already_taken(const std::string& name, uint32_t index) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  uint32_t program = 0;
  if (bpf_xdp_query(static_cast<int>(index), 0, &query) == 0) program = query.prog_id;
  return fail(
      ErrorKind::kConflict,
      fmt::format("{} already has an XDP program (id {}): another penstock or another tool; see "
                  "`bpftool net`, end it, or choose another interface",
                  name, program));
}

}  // namespace

Result<LinkedProgram> link_program(int program_fd, const std::string& name, uint32_t index) {
  InterfaceStatus status{name, "native", "", name};
  const auto target = static_cast<int>(index);
  LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
  Fd link(bpf_link_create(program_fd, target, BPF_XDP, &native));
  if (!link && (errno == EBUSY || errno == EEXIST)) return already_taken(name, index);
  if (!link) {
    status.attach_mode = "generic";
    status.degraded = fmt::format(
        "native XDP was refused ({}): packets take the slow generic path; see "
        "the driver's XDP support and the interface's MTU and queues",
        error_text(errno));
    LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
    link = Fd(bpf_link_create(program_fd, target, BPF_XDP, &generic));
  }
  if (!link && (errno == EBUSY || errno == EEXIST)) return already_taken(name, index);
  if (!link) return fail_errno(fmt::format("cannot attach XDP to {}", name), errno);
  return LinkedProgram{std::move(link), std::move(status)};
}

Result<InterfaceStatus> attach_interface(const PinDirectory& pins, const std::string& name,
                                         uint32_t index, int program_fd) {
  const std::string pin = pins.file(kLinkPrefix + name);
  Fd link(bpf_obj_get(pin.c_str()));
  if (link && linked_interface(link.get()) == index) {
    if (bpf_link_update(link.get(), program_fd, nullptr) != 0) {
      return fail_errno(fmt::format("cannot replace the program on {}", name), errno);
    }
    InterfaceStatus status{name, attached_mode(index), "", name};
    if (status.attach_mode == "generic") {
      status.degraded =
          "native XDP was refused when the program was first attached: packets take the "
          "slow generic path";
    }
    return status;
  }
  unlink(pin.c_str());
  auto linked = link_program(program_fd, name, index);
  if (!linked) return tl::unexpected(linked.error());
  if (bpf_obj_pin(linked->link.get(), pin.c_str()) != 0) {
    return fail_errno(fmt::format("cannot pin {}", pin), errno);
  }
  return linked->status;
}

void detach_others(const PinDirectory& pins, const std::vector<InterfaceStack>& stacks) {
  for (const std::string& file : pins.names()) {
    if (!is_link_pin(file)) continue;
    const std::string name = file.substr(std::strlen(kLinkPrefix));
    if (std::any_of(stacks.begin(), stacks.end(),
                    [&](const InterfaceStack& stack) { return stack.device == name; })) {
      continue;
    }
    detach_pinned_link(pins.file(file));
    unlink(pins.file(file).c_str());
  }
}

bool is_link_pin(const std::string& file_name) {
  return file_name.rfind(kLinkPrefix, 0) == 0;
}

void detach_pinned_link(const std::string& path) {
  const Fd link(bpf_obj_get(path.c_str()));
  if (link) bpf_link_detach(link.get());
}

}  // namespace penstock
