// SPDX-License-Identifier: Apache-2.0
// Keeps the announced VIPs where the kernel answers for them, and tells the segment of them.
//
// A VIP goes on the loopback. An IPv6 one goes on the dataplane's interfaces too: the kernel
// answers neighbour solicitations only for addresses of the interface that they come in by
// (netlink/addresses.h).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/control/state_files.h"
#include "dataplane/result.h"

namespace penstock {

class Announcer {
 public:
  Announcer(boost::asio::io_context& context, const Config& config);

  // Places what is missing of the services' announced VIPs, takes off what this or an earlier run
  // has placed and is announced no more, and when that is news tells the segment of all, three
  // times a second apart. Does what it can; the first failure is the answer.
  Result<void> update(const std::vector<ServiceConfig>& services);

  // Takes off all that this or an earlier run has placed, and says no more.
  Result<void> withdraw();

 private:
  std::set<PlacedAddress> places_for(const std::set<IpAddress>& vips) const;
  void tell(int times);

  std::string state_directory_;
  std::vector<std::string> interfaces_;
  std::set<PlacedAddress> ours_;
  std::set<IpAddress> vips_;  // announced
  std::shared_ptr<boost::asio::steady_timer>
      again_;  // shared: a handler that is queued already outlives us
};

// Takes off what any run has placed, by the state directory. Nothing placed: success.
Result<void> withdraw_all(const std::string& state_directory);

}  // namespace penstock
