// SPDX-License-Identifier: Apache-2.0
// Backend address to next hop, from the kernel's routes, neighbours and links over rtnetlink
// (rtnetlink(7)), followed as they change. Asks the kernel to resolve (and keep fresh) the
// neighbours it needs: it sends no packets.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/result.h"

namespace penstock {

class NextHopResolver {
 public:
  // Only routes out of `interfaces` count: a backend reached otherwise is unresolved, and the
  // reason says so. on_change runs on the context's thread after next_hops() has changed. Belongs
  // to the calling thread's network namespace.
  static Result<std::unique_ptr<NextHopResolver>> open(boost::asio::io_context& context,
                                                       std::vector<std::string> interfaces,
                                                       std::function<void()> on_change);
  ~NextHopResolver();

  // What is known of them can be read when this returns; on_change tells of it later, never from in
  // here.
  void set_targets(const std::vector<IpAddress>& targets);

  // Whether gateways() are looked for; not at first. As above.
  void follow_gateways(bool wanted);

  std::map<IpAddress, NextHop> next_hops() const;  // the resolved ones
  // Where the default routes lead, of each family that has one whose next hop is resolved.
  std::map<Family, Gateway> gateways() const;
  std::map<IpAddress, std::string> unresolved()
      const;  // why, for people: "no route", "10.0.0.1 does not answer ARP on eth0"

 private:
  class Impl;
  explicit NextHopResolver(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace penstock
