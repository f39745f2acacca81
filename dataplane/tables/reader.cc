// SPDX-License-Identifier: Apache-2.0
// Sums over workers, a pass over the flows, and the core's selection asked by hand.
#include "dataplane/tables/reader.h"

#include "dataplane/core/walk.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/frame_buffer.h"

namespace penstock {
namespace {

constexpr const char* kReasonNames[] = {"none",
#define PS_REASON_NAME(name, verdict, text) #name,
                                        PS_REASONS(PS_REASON_NAME)
#undef PS_REASON_NAME
};

void add(TrafficCounters& sum, const ps_traffic& part) {
  sum.packets_to_backend += part.packets_to_backend;
  sum.bytes_to_backend += part.bytes_to_backend;
  sum.packets_to_client += part.packets_to_client;
  sum.bytes_to_client += part.bytes_to_client;
  sum.new_flows += part.new_flows;
}

void add_reasons(CounterSnapshot& snapshot, ServiceId service, const ps_reason_counts& counts) {
  for (int reason = 1; reason < PS_REASON_COUNT; reason++) {
    const uint64_t count = counts.count[reason];
    if (count == 0) continue;
    const ps_action action = ps_action_of(static_cast<ps_reason>(reason));
    auto& fate = action == PS_DROP   ? snapshot.dropped
                 : action == PS_PASS ? snapshot.passed
                                     : snapshot.answered;
    fate[service][kReasonNames[reason]] += count;
  }
}

void count_flow(FlowSnapshot& snapshot, const ps_settings& settings, const ps_flow& flow,
                uint32_t now_ticks) {
  const uint64_t word = ps_flow_load(&flow.word);
  if (!ps_flow_is_live(&settings, word, now_ticks)) return;
  const auto count = [&](FlowCounts& counts) {
    switch (ps_flow_state(word)) {
      case PS_FLOW_HALF_OPEN: counts.half_open++; break;
      case PS_FLOW_ESTABLISHED: counts.established++; break;
      default: counts.closing++; break;
    }
  };
  count(snapshot.services[flow.service]);
  count(snapshot.backends[flow.backend]);
}

const ps_settings& published_settings(const ps_tables& tables) {
  return *ps_settings_at(&tables, tables.control->generation & 1);
}

}  // namespace

CounterSnapshot read_counters(const ps_tables& tables) {
  CounterSnapshot snapshot;
  for (uint32_t worker = 0; worker < tables.workers; worker++) {
    for (uint32_t id = 0; id < tables.max_services; id++) {
      const auto service = static_cast<ServiceId>(id);
      const ps_traffic& traffic = *ps_service_traffic_at(&tables, worker, id);
      if (traffic.packets_to_backend + traffic.packets_to_client != 0) {
        add(snapshot.services[service], traffic);
      }
      add_reasons(snapshot, service, *ps_reasons_at(&tables, worker, id));
    }
    for (uint32_t id = 1; id < tables.max_backends; id++) {
      const ps_traffic& traffic = *ps_backend_traffic_at(&tables, worker, id);
      if (traffic.packets_to_backend + traffic.packets_to_client == 0) continue;
      add(snapshot.backends[static_cast<BackendId>(id)], traffic);
    }
  }
  return snapshot;
}

FlowSnapshot read_flows(const ps_tables& tables, uint32_t now_ticks) {
  FlowSnapshot snapshot;
  const ps_settings& settings = published_settings(tables);
  for (uint32_t set = 0; set < tables.flow_sets; set++) {
    for (const ps_flow& flow : tables.flows4[set].way) {
      count_flow(snapshot, settings, flow, now_ticks);
    }
    for (const ps_flow6& flow : tables.flows6[set].way) {
      count_flow(snapshot, settings, flow.flow, now_ticks);
    }
  }
  snapshot.capacity = 2ull * tables.control->flow_table_entries;
  return snapshot;
}

Explanation explain_client(const ps_tables& tables, ServiceId id, const Endpoint& client,
                           uint32_t now_ticks) {
  Explanation explanation;
  const uint32_t generation = tables.control->generation & 1;
  const struct ps_service* service = ps_service_at(&tables, generation, id);
  const int family = family_number(client.address);
  if (!service || service->family != family) return explanation;
  ps_client asked{};
  asked.address = to_wire(client.address);
  asked.port = ps_wire16(client.port);
  asked.service = service->clients_of ? service->clients_of : id;
  asked.generation = generation;
  asked.now = now_ticks;
  explanation.backend =
      static_cast<BackendId>(ps_select(&tables, &published_settings(tables), service, &asked));
  explanation.selected = asked.selected;
  explanation.client_hash = asked.hash;
  explanation.slot = asked.slot;
  explanation.is_denied = ps_ask_access(&tables, service, &asked.address) != PS_REASON_NONE;
  return explanation;
}

LookupTable read_lookup_table(const ps_tables& tables, LookupTableId id) {
  const ps_lookup_table* table = ps_lookup_table_at(&tables, id);
  if (!table) return LookupTable(kLookupTableSlots, 0);
  return {table->slots, table->slots + PS_LOOKUP_SLOTS};
}

}  // namespace penstock
