// SPDX-License-Identifier: Apache-2.0
// One service at a time, then what all of them share.
#include "controlplane/plan/table_places.h"

#include <algorithm>
#include <limits>

namespace penstock {
namespace {

bool leads_alike(const LookupTable& a, const LookupTable& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](uint16_t x, uint16_t y) { return holder_of(x) == holder_of(y); });
}

// Slots that are contested in `from` are in `to`, too.
void inherit_contests(LookupTable& to, const LookupTable& from) {
  for (size_t slot = 0; slot < to.size(); slot++) {
    to[slot] = static_cast<uint16_t>(to[slot] | (from[slot] & kContested));
  }
}

void contest_where_different(LookupTable& to, const LookupTable& earlier) {
  for (size_t slot = 0; slot < to.size(); slot++) {
    if (holder_of(to[slot]) == holder_of(earlier[slot])) continue;
    to[slot] = static_cast<uint16_t>(to[slot] | kContested);
  }
}

void go_by(ServiceEntry& service, const ServiceEntry& other) {
  service.lookup_table = other.lookup_table;
  service.earlier = other.earlier;
}

}  // namespace

TablePlaces::TablePlaces(const PlanState& current, const PlanInput& input, Plan& plan)
    : current_(current),
      input_(input),
      plan_(plan),
      first_(own_lookup_table(static_cast<ServiceId>(input.config.dataplane.max_services), 0)) {}

const ServiceEntry* TablePlaces::before(ServiceId id) const {
  const auto found = current_.forwarding.services.find(id);
  return found == current_.forwarding.services.end() ? nullptr : &found->second;
}

// Whether who was known is known on: by the same hashes, in epochs of the same length.
bool TablePlaces::goes_on(ServiceId id) const {
  const ServiceEntry* was = before(id);
  const ServiceEntry& now = plan_.next.forwarding.services.at(id);
  return was && current_.forwarding.settings.hash_key == input_.hash_key &&
         was->client_prefix_bits == now.client_prefix_bits && was->hashes_port == now.hashes_port &&
         was->affinity_idle == now.affinity_idle;
}

bool TablePlaces::is_affinity_table(LookupTableId place) const {
  return place >= first_ && place < first_ + input_.config.dataplane.affinity_tables;
}

bool TablePlaces::is_outdated(ServiceId id) const {
  const ServiceEntry* was = before(id);
  if (!was || current_.forwarding.settings.hash_key != input_.hash_key) return true;
  const bool has_affinity = plan_.next.forwarding.services.at(id).affinity_idle.count() > 0;
  if (!has_affinity) return was->affinity_idle.count() > 0;
  return !goes_on(id) ||
         (!is_affinity_table(was->lookup_table) && is_affinity_table(free_place(id)));
}

void TablePlaces::keep(ServiceId id) {
  ServiceEntry& service = plan_.next.forwarding.services.at(id);
  service.lookup_table = before(id)->lookup_table;
  service.earlier = before(id)->earlier;
}

// An affinity table that packets read neither now nor then; else the service's own that it does not
// use: nobody is known by that one, until a plan finds a place.
LookupTableId TablePlaces::free_place(ServiceId id) const {
  std::set<LookupTableId> taken;
  const auto take = [&](const ForwardingState& state) {
    for (const auto& [other, service] : state.services) {
      taken.insert(service.lookup_table);
      taken.insert(service.earlier.begin(), service.earlier.end());
    }
  };
  take(current_.forwarding);
  take(plan_.next.forwarding);
  for (uint32_t i = 0; i < input_.config.dataplane.affinity_tables; i++) {
    const auto place = static_cast<LookupTableId>(first_ + i);
    if (!taken.contains(place)) return place;
  }
  const ServiceEntry* was = before(id);
  return own_lookup_table(id, was && was->lookup_table == own_lookup_table(id, 1) ? 0 : 1);
}

void TablePlaces::write(LookupTableId place, LookupTable table) {
  if (is_affinity_table(place)) plan_.next.tables[place] = table;
  plan_.delta.lookup_tables[place] = std::move(table);
}

void TablePlaces::put(ServiceId id, LookupTable dealt) {
  ServiceEntry& service = plan_.next.forwarding.services.at(id);
  if (service.affinity_idle.count() > 0) {
    put_with_affinity(id, std::move(dealt));
    return;
  }
  const ServiceEntry* was = before(id);
  service.lookup_table =
      own_lookup_table(id, was && was->lookup_table == own_lookup_table(id, 1) ? 0 : 1);
  write(service.lookup_table, std::move(dealt));
}

// Those that the service kept until now, and the one that it used.
std::vector<LookupTableId> TablePlaces::candidates_for_earlier(ServiceId id) const {
  if (!goes_on(id)) return {};
  std::vector<LookupTableId> earlier = before(id)->earlier;
  earlier.push_back(before(id)->lookup_table);
  std::erase_if(earlier, [&](LookupTableId place) { return !current_.tables.contains(place); });
  return earlier;
}

void TablePlaces::put_with_affinity(ServiceId id, LookupTable dealt) {
  ServiceEntry& service = plan_.next.forwarding.services.at(id);
  std::vector<LookupTableId> earlier = candidates_for_earlier(id);
  const auto same = std::find_if(earlier.begin(), earlier.end(), [&](LookupTableId place) {
    return leads_alike(current_.tables.at(place), dealt);
  });
  if (same != earlier.end() && *same == before(id)->lookup_table) return keep(id);
  // Also where the slot is the same again: entries may have been made meanwhile.
  for (const LookupTableId place : earlier) inherit_contests(dealt, current_.tables.at(place));
  if (same != earlier.end()) {
    service.lookup_table = *same;
    earlier.erase(same);
  } else {
    service.lookup_table = free_place(id);
    if (is_affinity_table(service.lookup_table)) plan_.delta.begun.insert(service.lookup_table);
  }
  if (earlier.size() > kMaxEarlierTables) give_up_one(id, earlier);
  for (const LookupTableId place : earlier) {
    contest_where_different(dealt, current_.tables.at(place));
  }
  service.earlier = std::move(earlier);
  write(service.lookup_table, std::move(dealt));
}

// Who has left the service, or drained for long enough, keeps no clients.
void TablePlaces::release_who_may_not_stay(ServiceId id, ServiceEntry& service) {
  std::set<BackendId> stay;
  for (const LookupMember& member : plan_.next.members[id]) stay.insert(member.id);
  for (const auto& name : input_.drained_out) {
    const auto found = plan_.backend_ids.find(name);
    if (found != plan_.backend_ids.end() && plan_.service_ids.at(name.first) == id) {
      stay.erase(found->second);
    }
  }
  for (const LookupTableId place : service.earlier) {
    LookupTable table = plan_.next.tables.at(place);
    bool changes = false;
    for (uint16_t& slot : table) {
      if (holder_of(slot) == 0 || stay.contains(holder_of(slot))) continue;
      plan_.delta.released.emplace(id, holder_of(slot));
      slot = static_cast<uint16_t>(slot & kContested);
      changes = true;
    }
    if (changes) write(place, std::move(table));
  }
  if (!input_.affinity) return;
  const auto kept = input_.affinity->kept.find(id);
  if (kept == input_.affinity->kept.end()) return;
  for (const auto& [backend, count] : kept->second) {
    if (!stay.contains(backend)) plan_.delta.released.emplace(id, backend);
  }
}

// Tables by which nobody is known any more go. One that was in use until now is yet to be read.
void TablePlaces::forget(ServiceId id, ServiceEntry& service) {
  if (!input_.affinity) return;
  const ServiceEntry* was = before(id);
  std::erase_if(service.earlier, [&](LookupTableId place) {
    const bool was_earlier =
        was && std::find(was->earlier.begin(), was->earlier.end(), place) != was->earlier.end();
    return was_earlier && !input_.affinity->remembering.contains(place);
  });
}

// A slot is contested no more when all tables agree and no entry's client is in it.
void TablePlaces::settle_slots(ServiceId id, const ServiceEntry& service) {
  const auto found = plan_.next.tables.find(service.lookup_table);
  if (!input_.affinity || found == plan_.next.tables.end()) return;
  LookupTable table = found->second;
  for (uint16_t& slot : table) slot = holder_of(slot);
  for (const LookupTableId place : service.earlier) {
    contest_where_different(table, plan_.next.tables.at(place));
  }
  if (const auto kept = input_.affinity->kept_slots.find(id);
      kept != input_.affinity->kept_slots.end()) {
    for (const uint32_t slot : kept->second) {
      table[slot] = static_cast<uint16_t>(table[slot] | kContested);
    }
  }
  if (table != found->second) write(service.lookup_table, std::move(table));
}

// The one by which the fewest are known that were not seen since; they may move. Of the table that
// was in use until now nothing is known yet: it stays.
void TablePlaces::give_up_one(ServiceId id, std::vector<LookupTableId>& earlier) {
  const auto unseen = [&](LookupTableId place) {
    const ServiceEntry* was = before(id);
    if (was && was->lookup_table == place) return std::numeric_limits<uint64_t>::max();
    if (!input_.affinity) return uint64_t{1};
    const auto found = input_.affinity->remembering.find(place);
    return found == input_.affinity->remembering.end() ? 0 : found->second;
  };
  const auto least =
      std::min_element(earlier.begin(), earlier.end(),
                       [&](LookupTableId a, LookupTableId b) { return unseen(a) < unseen(b); });
  if (unseen(*least) > 0) plan_.forgetful_services.insert(id);
  earlier.erase(least);
}

void TablePlaces::make_room() {
  auto& services = plan_.next.forwarding.services;
  for (;;) {
    size_t wanted = 0;
    size_t taken = 0;
    auto most = services.end();
    for (auto each = services.begin(); each != services.end(); ++each) {
      if (each->second.affinity_idle.count() == 0 || each->second.clients_of) continue;
      wanted++;
      taken += each->second.earlier.size() + is_affinity_table(each->second.lookup_table);
      if (most == services.end() || each->second.earlier.size() > most->second.earlier.size()) {
        most = each;
      }
    }
    if (most == services.end() || most->second.earlier.empty() ||
        taken + wanted <= input_.config.dataplane.affinity_tables) {
      return;
    }
    give_up_one(most->first, most->second.earlier);
  }
}

void TablePlaces::finish() {
  for (auto& [id, service] : plan_.next.forwarding.services) {
    if (service.affinity_idle.count() == 0 || service.clients_of) continue;
    forget(id, service);
    release_who_may_not_stay(id, service);
  }
  make_room();
  for (auto& [id, service] : plan_.next.forwarding.services) {
    if (service.clients_of) go_by(service, plan_.next.forwarding.services.at(service.clients_of));
  }
  std::set<LookupTableId> used;
  for (auto& [id, service] : plan_.next.forwarding.services) {
    if (service.affinity_idle.count() > 0 && !service.clients_of) settle_slots(id, service);
    used.insert(service.lookup_table);
    used.insert(service.earlier.begin(), service.earlier.end());
  }
  std::erase_if(plan_.next.tables, [&](const auto& table) { return !used.contains(table.first); });
}

}  // namespace penstock
