// SPDX-License-Identifier: Apache-2.0
// What is ours is on the interfaces and in the state directory; neither depends on the process.
#include "controlplane/control/announcer.h"

#include <spdlog/spdlog.h>

#include "controlplane/netlink/addresses.h"

namespace penstock {
namespace {

constexpr const char* kLoopback = "lo";
constexpr int kTimesTold = 3;
constexpr std::chrono::seconds kTellInterval{1};

void keep_first(Result<void>& first, Result<void> next) {
  if (first && !next) first = std::move(next);
}

}  // namespace

Announcer::Announcer(boost::asio::io_context& context, const Config& config)
    : state_directory_(config.control.state_directory),
      interfaces_(config.dataplane.interfaces),
      ours_(load_placed(state_directory_)),
      again_(std::make_shared<boost::asio::steady_timer>(context)) {}

std::set<PlacedAddress> Announcer::places_for(const std::set<IpAddress>& vips) const {
  std::set<PlacedAddress> places;
  for (const IpAddress& vip : vips) {
    places.insert({kLoopback, vip});
    if (vip.is_ipv4()) continue;
    for (const std::string& interface : interfaces_) places.insert({interface, vip});
  }
  return places;
}

Result<void> Announcer::update(const std::vector<ServiceConfig>& services) {
  std::set<IpAddress> vips;
  for (const ServiceConfig& service : services) {
    if (service.announce) vips.insert(service.vip.address);
  }
  const auto wanted = places_for(vips);
  const auto before = ours_;
  Result<void> done;
  for (const PlacedAddress& place : before) {
    if (wanted.contains(place)) continue;
    auto removed = remove_address(place.interface, place.address);
    if (removed) ours_.erase(place);
    keep_first(done, std::move(removed));
  }
  for (const PlacedAddress& place : wanted) {
    const auto added = add_address(place.interface, place.address);
    if (!added) keep_first(done, tl::unexpected(added.error()));
    if (added && *added) ours_.insert(place);
  }
  if (ours_ != before) keep_first(done, save_placed(state_directory_, ours_));
  if (vips != vips_) {
    vips_ = std::move(vips);
    tell(kTimesTold);
  }
  return done;
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
  again_->expires_after(kTellInterval);
  again_->async_wait(
      [this, times, owner = std::weak_ptr(again_)](const boost::system::error_code& error) {
        if (!error && !owner.expired()) tell(times - 1);
      });
}

Result<void> Announcer::withdraw() {
  again_->cancel();
  vips_.clear();
  ours_.clear();
  return withdraw_all(state_directory_);
}

Result<void> withdraw_all(const std::string& state_directory) {
  std::set<PlacedAddress> left;
  Result<void> done;
  const auto placed = load_placed(state_directory);
  for (const PlacedAddress& place : placed) {
    auto removed = remove_address(place.interface, place.address);
    if (!removed) left.insert(place);
    keep_first(done, std::move(removed));
  }
  if (!placed.empty()) keep_first(done, save_placed(state_directory, left));
  return done;
}

}  // namespace penstock
