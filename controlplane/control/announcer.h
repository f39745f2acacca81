// SPDX-License-Identifier: Apache-2.0
// Keeps the announced VIPs on the loopback and tells the segment of them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "dataplane/result.h"

namespace penstock {

class Announcer {
 public:
  Announcer(boost::asio::io_context& context, const Config& config);

  // Puts on the loopback what is missing of the services' announced VIPs, takes off what this or an
  // earlier run put there and is announced no more, and tells the segment of all, three times a
  // second apart.
  Result<void> update(const std::vector<ServiceConfig>& services);

 private:
  void tell(int times);

  std::string state_directory_;
  std::vector<std::string> interfaces_;
  std::set<IpAddress> ours_;  // put on the loopback by us
  std::set<IpAddress> vips_;  // announced: ours, or there before
  boost::asio::steady_timer again_;
};

// Takes off the loopback what any run has put there.
Result<void> withdraw_all(const std::string& state_directory);

}  // namespace penstock
