// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/held.h"

#include <algorithm>
#include <atomic>

#include "dataplane/core/held_ports.h"
#include "dataplane/tables/convert.h"

namespace penstock::dpdk {
namespace {

void add(HeldPorts& held, const IpAddress& address, uint16_t first, uint16_t last) {
  const auto [entry, is_new] = held.try_emplace(address, first, last);
  if (is_new) return;
  auto& [known_first, known_last] = entry->second;
  known_first = std::min(known_first, first);
  known_last = std::max(known_last, last);
}

}  // namespace

HeldPorts held_ports(const ps_tables& tables) {
  const uint32_t generation =
      std::atomic_ref(tables.control->generation).load(std::memory_order_acquire) & 1;
  HeldPorts held;
  for (uint32_t id = 1; id < tables.max_services && held.size() < PS_MAX_HELD / 2; id++) {
    const ps_service& service = *ps_service_at(&tables, generation, id);
    if (service.family == 0) continue;
    const uint16_t port = ps_host16(service.port);
    add(held, from_wire(service.family, service.vip), port, port);
  }
  const ps_settings& settings = *ps_settings_at(&tables, generation);
  if (settings.snat_port_count == 0) return held;
  const auto last = static_cast<uint16_t>(settings.snat_port_first + settings.snat_port_count - 1);
  for (int v6 = 0; v6 < 2; v6++) {
    for (uint32_t i = 0; i < settings.snat_count[v6] && i < PS_MAX_SNAT_ADDRESSES; i++) {
      add(held, from_wire(v6 ? PS_IPV6 : PS_IPV4, settings.snat[v6][i]), settings.snat_port_first,
          last);
    }
  }
  return held;
}

}  // namespace penstock::dpdk
