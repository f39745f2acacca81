// SPDX-License-Identifier: Apache-2.0
// The keys of TLS session tickets, as HAProxy's file has them: base64 of 80 random bytes a line,
// oldest first. By the last but one tickets are made; by all they are read, so that a ticket lives
// through a rotation, and by the last one that another sidecar rotated to first.
#pragma once

#include <string>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

using TicketKeys = std::vector<std::string>;

// HAProxy takes no file with fewer.
constexpr size_t kTicketKeys = 3;

// From the system's random source.
Result<std::string> make_ticket_key();

// Without the oldest, and with the new one as the next.
TicketKeys rotate(TicketKeys keys, std::string next);

std::string to_text(const TicketKeys& keys);

// Empty: it is no such file.
TicketKeys parse_ticket_keys(const std::string& text);

}  // namespace penstock
