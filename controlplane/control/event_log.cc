// SPDX-License-Identifier: Apache-2.0
// What was told is kept, and compared with what is told now.
#include "controlplane/control/event_log.h"

#include <spdlog/spdlog.h>

namespace penstock {

void EventLog::tell_health(
    const std::map<std::pair<std::string, std::string>, HealthReport>& reports) {
  std::map<std::pair<std::string, std::string>, Health> now;
  for (const auto& [name, report] : reports) {
    if (report.health == Health::kUnknown) continue;
    now[name] = report.health;
    if (const auto before = health_.find(name);
        before != health_.end() && before->second == report.health) {
      continue;
    }
    const bool up = report.health == Health::kUp;
    spdlog::log(up ? spdlog::level::info : spdlog::level::warn, "{}/{} is {}: {}", name.first,
                name.second, up ? "up" : "down", report.detail);
  }
  health_ = std::move(now);
}

void EventLog::tell_unresolved(const std::map<IpAddress, std::string>& unresolved) {
  for (const auto& [address, why] : unresolved) {
    if (const auto before = unresolved_.find(address);
        before == unresolved_.end() || before->second != why) {
      spdlog::warn("{} is unresolved: {}", to_string(address), why);
    }
  }
  for (const auto& [address, why] : unresolved_) {
    if (!unresolved.contains(address)) spdlog::info("{} is resolved", to_string(address));
  }
  unresolved_ = unresolved;
}

}  // namespace penstock
