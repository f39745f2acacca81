// SPDX-License-Identifier: Apache-2.0
// One health check of one backend: a TCP connection, and over it an HTTP request if the check says so.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "controlplane/config/config.h"

namespace penstock {

struct ProbeResult {
  bool success = false;
  std::string detail;  // for people: "HTTP 200 in 3 ms", "connection refused"
};

// Ends within check.timeout. HTTP: the status line and headers count, 200 to 399 is healthy; the body is not read.
boost::asio::awaitable<ProbeResult> probe(Endpoint endpoint, HealthCheckConfig check);

}  // namespace penstock
