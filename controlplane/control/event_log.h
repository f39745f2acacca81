// SPDX-License-Identifier: Apache-2.0
// Logs what has changed of health and next hops since it was told last: one line an event.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "controlplane/health/monitor.h"
#include "dataplane/address.h"

namespace penstock {

class EventLog {
 public:
  // By (service, backend). What has no result yet is no event.
  void tell_health(const std::map<std::pair<std::string, std::string>, HealthReport>& reports);
  // Backend address to why.
  void tell_unresolved(const std::map<IpAddress, std::string>& unresolved);

 private:
  std::map<std::pair<std::string, std::string>, Health> health_;
  std::map<IpAddress, std::string> unresolved_;
};

}  // namespace penstock
