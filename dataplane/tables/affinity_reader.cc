// SPDX-License-Identifier: Apache-2.0
// A pass over the entries, then over the slots of the earlier tables.
#include "dataplane/tables/affinity_reader.h"

#include <array>
#include <bit>

#include "dataplane/core/walk.h"
#include "dataplane/tables/frame_buffer.h"

namespace penstock {
namespace {

using Bits = std::array<uint32_t, PS_KNOWN_WORDS>;

// Who is known in a slot, of both epochs together.
Bits known_bits(const ps_known_clients& known, uint32_t now_epoch) {
  Bits bits{};
  for (const ps_known_epoch& epoch : known.epoch) {
    if (!ps_epoch_counts(epoch.epoch, now_epoch)) continue;
    for (size_t word = 0; word < bits.size(); word++) bits[word] |= epoch.bits[word];
  }
  return bits;
}

uint64_t count_without(const Bits& bits, const Bits& others) {
  uint64_t count = 0;
  for (size_t word = 0; word < bits.size(); word++) {
    count += static_cast<uint64_t>(std::popcount(bits[word] & ~others[word]));
  }
  return count;
}

class AffinityReader {
 public:
  AffinityReader(const ps_tables& tables, uint32_t now_ticks)
      : tables_(tables), now_ticks_(now_ticks) {}

  AffinitySnapshot read() {
    for (uint32_t set = 0; set < tables_.affinity_sets; set++) {
      for (const ps_affinity& entry : tables_.affinities[set].way) add(entry);
    }
    snapshot_.capacity = uint64_t{tables_.affinity_sets} * PS_AFFINITY_WAYS;
    const uint32_t generation = tables_.control->generation & 1;
    for (uint32_t id = 1; id < tables_.max_services; id++) {
      const ps_service& service = *ps_service_at(&tables_, generation, id);
      if (service.family && service.earlier[0] && !service.clients_of)
        add(static_cast<ServiceId>(id), service);
    }
    return std::move(snapshot_);
  }

 private:
  void add(const ps_affinity& entry) {
    const uint64_t word = ps_flow_load(&entry.word);
    const BackendId backend = ps_affinity_backend(word);
    if (backend == 0 || ps_affinity_is_over(word, now_ticks_)) return;
    snapshot_.entries++;
    if (ps_is_dnat_flow(word)) return;
    const ServiceId service = ps_affinity_service(word);
    const uint64_t hash = ps_flow_load(&entry.client) ^ ps_affinity_salt(service);
    snapshot_.kept[service][backend]++;
    snapshot_.kept_slots[service].insert(ps_lookup_slot(hash));
  }

  void add(ServiceId id, const ps_service& service) {
    for (uint32_t slot = 0; slot < PS_LOOKUP_SLOTS; slot++) add(id, service, slot);
  }

  // Tables that lead to the same backend count together: a client may be known by both.
  void add(ServiceId id, const ps_service& service, uint32_t slot) {
    const uint32_t epoch = ps_epoch_of(&service, now_ticks_);
    const BackendId now = slot_of(service.lookup_table, slot);
    const ps_known_clients* seen = ps_known_clients_at(&tables_, service.lookup_table, slot);
    const Bits seen_bits = seen ? known_bits(*seen, epoch) : Bits{};
    std::map<BackendId, Bits> earlier;
    for (const LookupTableId place : service.earlier) {
      if (place == 0) break;
      const Bits bits = known_bits(*ps_known_clients_at(&tables_, place, slot), epoch);
      if (bits == Bits{}) continue;
      uint64_t& unseen = snapshot_.remembering[place];
      const BackendId backend = slot_of(place, slot);
      if (backend == now || backend == 0) continue;
      unseen += count_without(bits, seen_bits);
      Bits& known = earlier[backend];
      for (size_t word = 0; word < bits.size(); word++) known[word] |= bits[word];
    }
    for (const auto& [backend, bits] : earlier) {
      if (const uint64_t count = count_without(bits, seen_bits)) {
        snapshot_.unseen[id][backend] += count;
      }
    }
  }

  BackendId slot_of(LookupTableId place, uint32_t slot) const {
    return holder_of(ps_lookup_table_at(&tables_, place)->slots[slot]);
  }

  const ps_tables& tables_;
  uint32_t now_ticks_;
  AffinitySnapshot snapshot_;
};

}  // namespace

AffinitySnapshot read_affinity(const ps_tables& tables, uint32_t now_ticks) {
  return AffinityReader(tables, now_ticks).read();
}

}  // namespace penstock
