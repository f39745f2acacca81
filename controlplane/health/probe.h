// SPDX-License-Identifier: Apache-2.0
// One health check of one backend: a TCP connection, and over it an HTTP request if that is asked.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "controlplane/config/config.h"

namespace penstock {

enum class ProbeOutcome : uint8_t {
  kSuccess,
  kFailure,
  kNotTried,  // this machine has no descriptor, port or memory left: says nothing of the backend
};

struct ProbeResult {
  ProbeOutcome outcome = ProbeOutcome::kFailure;
  std::string detail;  // for people: "HTTP 200 in 3 ms", "connection refused"
};

// Ends within check.timeout, or early when it is cancelled (terminal). HTTP/1.1: the status line
// and the header must arrive whole, 200 to 399 is healthy; the body is not read.
boost::asio::awaitable<ProbeResult> probe(Endpoint endpoint, HealthCheckConfig check);

}  // namespace penstock
