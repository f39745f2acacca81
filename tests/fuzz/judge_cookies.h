// SPDX-License-Identifier: Apache-2.0
// What holds of connections begun by a SYN cookie (dataplane/core/handshake.h): the appliance's own
// segments, and the numbers and windows that it translates.
#pragma once

#include "tests/fuzz/judge.h"
#include "tests/fuzz/packet_view.h"

namespace penstock::fuzz {

// Our answer to a SYN.
void judge_cookie(const PacketView& in, const PacketView& out);

// From the TCP header on, of a packet of a service that has cookies, or had.
void judge_segment(const PacketView& in, const PacketView& out);

}  // namespace penstock::fuzz
