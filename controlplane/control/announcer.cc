// SPDX-License-Identifier: Apache-2.0
// What is ours is on the loopback and in the state directory; neither depends on the process.
#include "controlplane/control/announcer.h"

#include <spdlog/spdlog.h>

#include "controlplane/control/state_files.h"
#include "controlplane/netlink/addresses.h"

namespace penstock {

Announcer::Announcer(boost::asio::io_context& context, const Config& config)
    : state_directory_(config.control.state_directory),
      interfaces_(config.dataplane.interfaces),
      ours_(load_announced(state_directory_)),
      again_(context) {}

Result<void> Announcer::update(const std::vector<ServiceConfig>& services) {
  std::set<IpAddress> wanted;
  for (const ServiceConfig& service : services) {
    if (service.announce) wanted.insert(service.vip.address);
  }
  const std::set<IpAddress> before = ours_;
  for (const IpAddress& vip : before) {
    if (wanted.contains(vip)) continue;
    if (auto removed = remove_loopback_address(vip); !removed) return removed;
    ours_.erase(vip);
  }
  for (const IpAddress& vip : wanted) {
    const auto added = add_loopback_address(vip);
    if (!added) return tl::unexpected(added.error());
    if (*added) ours_.insert(vip);
  }
  const bool news = wanted != vips_;
  vips_ = std::move(wanted);
  if (news) tell(3);
  return save_announced(state_directory_, ours_);
}

void Announcer::tell(int times) {
  for (const std::string& interface : interfaces_) {
    for (const IpAddress& vip : vips_) {
      if (auto told = announce_address(interface, vip); !told) {
        spdlog::warn("{}", told.error().message);
      }
    }
  }
  if (times <= 1) return;
  again_.expires_after(std::chrono::seconds(1));
  again_.async_wait([this, times](const boost::system::error_code& error) {
    if (!error) tell(times - 1);
  });
}

Result<void> withdraw_all(const std::string& state_directory) {
  for (const IpAddress& vip : load_announced(state_directory)) {
    if (auto removed = remove_loopback_address(vip); !removed) return removed;
  }
  return save_announced(state_directory, {});
}

}  // namespace penstock
