// SPDX-License-Identifier: Apache-2.0
// The kernel is the only memory of links and neighbours: after it has told of a change they are
// read again as a whole, at most ten times a second, so lost notifications cost nothing. Route
// lookups, one a target, are kept until anything but a neighbour has changed: neighbours change all
// the time. Every few seconds all is read again and neighbours are poked.
#include "controlplane/netlink/next_hops.h"

#include <fmt/format.h>
#include <linux/neighbour.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <set>

#include "controlplane/netlink/kernel_view.h"
#include "controlplane/netlink/stacks.h"

namespace penstock {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kSettleTime{100};
// The kernel itself may send nothing to a backend, and holds an entry for good for up to 45 s
// anyway: a poke has it probed at once, so that a MAC that changed without a word is found within a
// poke and three seconds of unanswered probes.
constexpr std::chrono::seconds kPokeInterval{5};

// What an operator has set is not to be poked: since Linux 5.16 that makes it an ordinary, ageing
// entry.
constexpr uint16_t kFixedStates = NUD_PERMANENT | NUD_NOARP;
constexpr uint16_t kUsableStates = kFixedStates | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

// A change of rules changes the answers to route lookups as well.
constexpr int kGroups[] = {RTNLGRP_LINK,       RTNLGRP_NEIGH,     RTNLGRP_IPV4_ROUTE,
                           RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};

using Hop = std::pair<uint32_t, IpAddress>;  // interface index, neighbour

struct Findings {
  std::map<IpAddress, NextHop> next_hops;
  std::map<IpAddress, std::string> unresolved;
  std::map<Family, Gateway> gateways;
  std::map<Hop, bool>
      neighbours;  // that targets are reached by and that age; whether they are known
};

// What is to be asked again after events.
struct Changes {
  bool routes = false;          // the lookups of targets
  bool default_routes = false;  // a dump of all routes, which may be a million
};

void add(Changes& changes, const nlmsghdr* message) {
  const uint16_t type = message->nlmsg_type;
  if (type == RTM_NEWNEIGH || type == RTM_DELNEIGH) return;
  changes.routes = true;
  const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  const bool is_route = type == RTM_NEWROUTE || type == RTM_DELROUTE;
  changes.default_routes |= !is_route || route->rtm_dst_len == 0;
}

}  // namespace

// Handlers hold it weakly: one that is already queued when the resolver goes finds nothing to do.
class NextHopResolver::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& context, std::vector<std::string> interfaces,
       std::function<void()> on_change, RtSocket requests, RtSocket events)
      : interfaces_(std::move(interfaces)),
        on_change_(std::move(on_change)),
        requests_(std::move(requests)),
        events_(std::move(events)),
        descriptor_(context, events_.fd()),
        settle_(context),
        poke_(context) {}

  ~Impl() { descriptor_.release(); }  // the descriptor is the socket's to close

  void start() {
    wait_for_events();
    poke_later();
  }

  void set_targets(std::vector<IpAddress> targets) {
    std::sort(targets.begin(), targets.end());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    if (targets == targets_) return;
    targets_ = std::move(targets);
    routes_.clear();
    evaluate();
    settle();
  }

  void follow_gateways(bool wanted) {
    if (wanted == follows_gateways_) return;
    follows_gateways_ = wanted;
    default_routes_.reset();
    evaluate();
    settle();
  }

  const Findings& findings() const { return findings_; }

 private:
  template <typename Method>
  auto guarded(Method method) {
    return [weak = weak_from_this(), method](const error_code& error) {
      const auto self = weak.lock();
      if (self && !error) (self.get()->*method)();
    };
  }

  void wait_for_events() {
    descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, guarded(&Impl::on_events));
  }

  void on_events() {
    drain_events();
    settle();
    wait_for_events();
  }

  // Events that were lost (ENOBUFS) or do not fit (ENOSPC) may have been of any kind.
  void drain_events() {
    std::array<char, 32768> buffer;
    while (true) {
      const ssize_t bytes = recv(events_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (bytes < 0 && errno == EAGAIN) return;
      if (bytes < 0) return forget({.routes = true, .default_routes = true});
      Changes changes;
      auto left = static_cast<int>(bytes);
      auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
      for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        add(changes, message);
      }
      forget(changes);
    }
  }

  void settle() {
    if (settling_) return;
    settling_ = true;
    settle_.expires_after(kSettleTime);
    settle_.async_wait(guarded(&Impl::on_settled));
  }

  void on_settled() {
    settling_ = false;
    evaluate();
    if (findings_.next_hops == told_.next_hops && findings_.gateways == told_.gateways) return;
    told_ = findings_;
    on_change_();
  }

  void poke_later() {
    poke_.expires_after(kPokeInterval);
    poke_.async_wait(guarded(&Impl::on_poke));
  }

  void on_poke() {
    forget({.routes = true});
    evaluate();
    for (const auto& [hop, known] : findings_.neighbours) poke(hop, known);
    settle();
    poke_later();
  }

  // A neighbour that cannot be poked shows as unresolved.
  void poke(const Hop& hop, bool known) {
    (void)(known ? probe_neighbour(requests_, hop.first, hop.second)
                 : resolve_neighbour(requests_, hop.first, hop.second));
  }

  // A dump that fails, or that a change interrupts (EINTR), leaves the last findings for the next
  // poke to renew; a change is told as well.
  void evaluate() {
    const auto links = read_links(requests_);
    const auto neighbours = read_neighbours(requests_);
    if (!links || !neighbours) return;
    Findings now;
    for (const IpAddress& target : targets_) resolve(target, *links, *neighbours, now);
    for (const auto& [family, route] : default_routes()) {
      const auto hop = next_hop_of(route, *links, *neighbours, now);
      if (hop) now.gateways[family] = {hop->interface_index, hop->destination, hop->tags};
    }
    for (const auto& [hop, known] : now.neighbours) {
      const auto before = findings_.neighbours.find(hop);
      const bool lost = before != findings_.neighbours.end() && before->second && !known;
      if (lost || before == findings_.neighbours.end() || !neighbours->contains(hop)) {
        poke(hop, known);
      }
    }
    findings_ = std::move(now);
  }

  // None while nobody asks for gateways.
  const std::map<Family, Route>& default_routes() {
    if (!default_routes_ && !follows_gateways_) default_routes_.emplace();
    if (!default_routes_) {
      default_routes_ = read_default_routes(requests_).value_or(std::map<Family, Route>{});
    }
    return *default_routes_;
  }

  void forget(Changes changes) {
    if (changes.routes) routes_.clear();
    if (changes.default_routes) default_routes_.reset();
  }

  const std::optional<Route>& route_to(const IpAddress& target) {
    const auto known = routes_.find(target);
    if (known != routes_.end()) return known->second;
    return routes_[target] = read_route(requests_, target).value_or(std::nullopt);
  }

  void resolve(const IpAddress& target, const Links& links, const Neighbours& neighbours,
               Findings& now) {
    const std::optional<Route>& route = route_to(target);
    const auto hop = route ? next_hop_of(*route, links, neighbours, now)
                           : tl::expected<NextHop, std::string>(tl::unexpect, "no route");
    if (hop) {
      now.next_hops[target] = *hop;
    } else {
      now.unresolved[target] = hop.error();
    }
  }

  // Or why not, for people. Notes the neighbour.
  tl::expected<NextHop, std::string> next_hop_of(const Route& route, const Links& links,
                                                 const Neighbours& neighbours, Findings& now) {
    const auto unresolved = [](std::string why) { return tl::unexpected(std::move(why)); };
    if (route.local) return unresolved("it is an address of this machine");
    const auto link = links.find(route.interface_index);
    if (link == links.end()) return unresolved("the interface of its route is gone");
    const std::string& interface = link->second.name;
    if (std::find(interfaces_.begin(), interfaces_.end(), interface) == interfaces_.end()) {
      return unresolved("its route leaves by " + interface +
                        ", which is not among dataplane.interfaces");
    }
    if (!link->second.up) return unresolved(interface + " is down");
    const auto stack = find_stack(links, interface);
    if (!stack) return unresolved(stack.error().message);

    const Hop hop{route.interface_index, route.via};
    const auto known = neighbours.find(hop);
    const Neighbour neighbour = known == neighbours.end() ? Neighbour{} : known->second;
    const bool usable = neighbour.mac && (neighbour.state & kUsableStates);
    if (!(neighbour.state & kFixedStates)) now.neighbours[hop] = usable;
    if (!usable) {
      return unresolved(fmt::format("{} does not answer {} on {}", to_string(route.via),
                                    route.via.is_ipv4() ? "ARP" : "neighbour discovery",
                                    interface));
    }
    return NextHop{find_index(links, stack->device), link->second.mac, *neighbour.mac,
                   link->second.mtu, stack->tags};
  }

  std::vector<std::string> interfaces_;
  std::function<void()> on_change_;
  RtSocket requests_;
  RtSocket events_;
  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer settle_;
  asio::steady_timer poke_;
  bool settling_ = false;
  std::vector<IpAddress> targets_;
  bool follows_gateways_ = false;
  std::map<IpAddress, std::optional<Route>> routes_;
  std::optional<std::map<Family, Route>> default_routes_;
  Findings findings_;
  Findings told_;  // what on_change has last told of
};

NextHopResolver::NextHopResolver(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
NextHopResolver::~NextHopResolver() = default;

Result<std::unique_ptr<NextHopResolver>> NextHopResolver::open(asio::io_context& context,
                                                               std::vector<std::string> interfaces,
                                                               std::function<void()> on_change) {
  auto requests = RtSocket::open();
  if (!requests) return tl::unexpected(requests.error());
  auto events = RtSocket::open();
  if (!events) return tl::unexpected(events.error());
  for (const int group : kGroups) {
    if (auto subscribed = events->subscribe(group); !subscribed) {
      return tl::unexpected(subscribed.error());
    }
  }
  auto impl = std::make_shared<Impl>(context, std::move(interfaces), std::move(on_change),
                                     std::move(*requests), std::move(*events));
  impl->start();
  return std::unique_ptr<NextHopResolver>(new NextHopResolver(std::move(impl)));
}

void NextHopResolver::set_targets(const std::vector<IpAddress>& targets) {
  impl_->set_targets(targets);
}

void NextHopResolver::follow_gateways(bool wanted) {
  impl_->follow_gateways(wanted);
}

std::map<IpAddress, NextHop> NextHopResolver::next_hops() const {
  return impl_->findings().next_hops;
}

std::map<Family, Gateway> NextHopResolver::gateways() const {
  return impl_->findings().gateways;
}

std::map<IpAddress, std::string> NextHopResolver::unresolved() const {
  return impl_->findings().unresolved;
}

}  // namespace penstock
