// SPDX-License-Identifier: Apache-2.0
// How DPDK's AF_XDP driver opens its sockets, in the forwarder's process.
#pragma once

namespace penstock {

// Why there was no socket the last time that there was none (errno, most often the kernel's); 0:
// there always was one. The driver says EINVAL, whatever it was. For the thread that opens them.
int socket_refusal();

}  // namespace penstock
