// SPDX-License-Identifier: Apache-2.0
// How DPDK's AF_XDP driver opens its sockets, in the forwarder's process.
#pragma once

namespace penstock {

// What the kernel said (errno) of the last socket that it refused; 0 if it refused none. The driver
// says EINVAL, whatever it was. For the thread that opens them.
int socket_refusal();

}  // namespace penstock
