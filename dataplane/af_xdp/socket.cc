// SPDX-License-Identifier: Apache-2.0
// libxdp's function of this name, as DPDK's AF_XDP driver calls it: ours comes first in the
// forwarder's process.
//
// A queue stays busy for a while after the socket on it was closed, up to 48 ms as measured: the
// kernel lets go of it by RCU and a work queue that needs RTNL's lock. The forwarder before may
// have ended just now. The driver would give up at once, and cannot be asked again: the frames that
// it took for the attempt are lost to it.
#include "dataplane/af_xdp/socket.h"

#include <dlfcn.h>
#include <xdp/xsk.h>

#include <cerrno>
#include <chrono>

#include "dataplane/process.h"

namespace penstock {
namespace {

constexpr std::chrono::milliseconds kPatience{5'000};

int last_refusal = 0;

}  // namespace

int socket_refusal() {
  return last_refusal;
}

}  // namespace penstock

extern "C" __attribute__((visibility("default"))) int xsk_socket__create(
    xsk_socket** socket, const char* interface, __u32 queue, xsk_umem* memory,
    xsk_ring_cons* receive, xsk_ring_prod* transmit, const xsk_socket_config* config) {
  // Not RTLD_NEXT: it is the driver that has libxdp loaded, for itself alone.
  void* libxdp = dlopen("libxdp.so.1", RTLD_LAZY | RTLD_NOLOAD);
  const auto create = reinterpret_cast<decltype(&xsk_socket__create)>(
      libxdp ? dlsym(libxdp, "xsk_socket__create") : nullptr);
  int code = -ENOSYS;
  penstock::wait_for(penstock::kPatience, [&] {
    if (create) code = create(socket, interface, queue, memory, receive, transmit, config);
    return code != -EBUSY;
  });
  if (code) penstock::last_refusal = -code;
  return code;
}
