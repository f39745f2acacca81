// SPDX-License-Identifier: Apache-2.0
// The control socket's requests and answers, without the socket: HTTP method, path and body in,
// status and JSON out. Errors are problem documents (RFC 9457).
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "controlplane/control/daemon.h"

namespace penstock {

struct ControlRequest {
  std::string method;
  std::string target;  // path and query, as on the wire
  std::string body;
  uid_t user = 0;  // the peer's
  pid_t process = 0;
  bool may_change = true;  // the peer's credentials allow changes
};

struct ControlResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;  // with 405
};

// Titled by the status; `detail` says what is wrong and the way out.
ControlResponse problem(unsigned status, const std::string& detail);

class Routes {
 public:
  // `end` is called after forwarding has been stopped for good; the answer has still to go out.
  Routes(Daemon& daemon, std::function<void()> end) : daemon_(daemon), end_(std::move(end)) {}

  ControlResponse handle(const ControlRequest& request);

 private:
  Daemon& daemon_;
  std::function<void()> end_;
};

}  // namespace penstock
