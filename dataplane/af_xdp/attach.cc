// SPDX-License-Identifier: Apache-2.0
// libbpf's functions of these names, as DPDK's AF_XDP driver calls them: ours come first in the
// forwarder's process.
//
// The driver attaches its program only where none is, and detaches it when it ends. Between the one
// forwarder's end and the next one's begin the kernel would get what is for services, and reset
// their connections. So the program before is replaced in one step, and the last one stays: it
// holds those packets back. detach_steering() ends it, in the control plane.
#include "dataplane/af_xdp/attach.h"

#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <linux/if_link.h>

#include <cerrno>

namespace penstock {
namespace {

HeldPorts& held_at_attach() {
  static HeldPorts ports;
  return ports;
}

}  // namespace

void hold_back_at_attach(HeldPorts ports) {
  held_at_attach() = std::move(ports);
}

}  // namespace penstock

extern "C" __attribute__((visibility("default"))) int bpf_xdp_attach(
    int interface_index, int program, __u32 flags, const bpf_xdp_attach_opts* options) {
  using Attach = int (*)(int, int, __u32, const bpf_xdp_attach_opts*);
  const auto libbpf = reinterpret_cast<Attach>(dlsym(RTLD_NEXT, "bpf_xdp_attach"));
  if (!libbpf || !penstock::hold_back_by(program, penstock::held_at_attach())) return -ENOSYS;
  return libbpf(interface_index, program, flags & ~XDP_FLAGS_UPDATE_IF_NOEXIST, options);
}

extern "C" __attribute__((visibility("default"))) int bpf_xdp_detach(int, __u32,
                                                                     const bpf_xdp_attach_opts*) {
  return 0;
}
