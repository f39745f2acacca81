// SPDX-License-Identifier: Apache-2.0
// Loads the program, fills its tries, attaches it by a BPF link that ends with its descriptor.
#include "dataplane/xdp/decapsulator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "dataplane/core/decap_maps.h"
#include "dataplane/tables/local_interfaces.h"
#include "dataplane/xdp/links.h"
#include "dataplane/xdp/skeleton.h"

namespace penstock {
namespace {

struct DestroySkeleton {
  void operator()(decap* skeleton) const { decap::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<decap, DestroySkeleton>;

ps_prefix_key key_of(const IpPrefix& prefix) {
  ps_prefix_key key{};
  auto* bytes = reinterpret_cast<uint8_t*>(&key.address);
  if (prefix.address.is_ipv4()) {
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(bytes + 12, prefix.address.bytes.data(), 4);
    key.bits = 96u + prefix.bits;
  } else {
    std::memcpy(bytes, prefix.address.bytes.data(), 16);
    key.bits = prefix.bits;
  }
  return key;
}

Result<void> fill(const bpf_map* trie, const std::vector<IpPrefix>& prefixes) {
  for (const IpPrefix& prefix : prefixes) {
    const ps_prefix_key key = key_of(prefix);
    const uint8_t present = 1;
    if (bpf_map_update_elem(bpf_map__fd(trie), &key, &present, BPF_ANY) != 0) {
      return fail_errno(fmt::format("no place for {}", to_string(prefix)), errno);
    }
  }
  return {};
}

class LinkedDecapsulator : public Decapsulator {
 public:
  LinkedDecapsulator(Skeleton skeleton, Fd link, InterfaceStatus status)
      : skeleton_(std::move(skeleton)), link_(std::move(link)), status_(std::move(status)) {}

  const InterfaceStatus& status() const override { return status_; }

  DecapCounts counts() const override {
    return {sum(PS_DECAP_TAKEN_OUT), sum(PS_DECAP_FOREIGN_SOURCE), sum(PS_DECAP_FOREIGN_VIP),
            sum(PS_DECAP_BROKEN)};
  }

 private:
  uint64_t sum(uint32_t place) const {
    std::vector<uint64_t> of_processors(static_cast<size_t>(libbpf_num_possible_cpus()));
    const int map = bpf_map__fd(skeleton_->maps.counts);
    if (bpf_map_lookup_elem(map, &place, of_processors.data()) != 0) return 0;
    return std::accumulate(of_processors.begin(), of_processors.end(), uint64_t{0});
  }

  Skeleton skeleton_;
  Fd link_;
  InterfaceStatus status_;
};

// Everything is inside when no VIP is named.
std::vector<IpPrefix> or_everything(std::vector<IpPrefix> prefixes) {
  if (!prefixes.empty()) return prefixes;
  return {*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")};
}

}  // namespace

Result<std::unique_ptr<Decapsulator>> Decapsulator::attach(const std::string& interface,
                                                           const std::vector<IpPrefix>& sources,
                                                           const std::vector<IpPrefix>& vips) {
  const auto found = find_interfaces({{interface, interface, {}}});
  if (!found) return tl::unexpected(found.error());
  Skeleton skeleton(decap::open_and_load());
  if (!skeleton) return fail_errno("the kernel refused the decapsulator", errno);
  if (auto filled = fill(skeleton->maps.sources, sources); !filled) {
    return tl::unexpected(filled.error());
  }
  if (auto filled = fill(skeleton->maps.vips, or_everything(vips)); !filled) {
    return tl::unexpected(filled.error());
  }
  auto link = link_program(bpf_program__fd(skeleton->progs.penstock_decap), interface,
                           found->front().index);
  if (!link) return tl::unexpected(link.error());
  return std::make_unique<LinkedDecapsulator>(std::move(skeleton), std::move(link->link),
                                              std::move(link->status));
}

}  // namespace penstock
