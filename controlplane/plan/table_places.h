// SPDX-License-Identifier: Apache-2.0
// Where the lookup tables of a plan stand, and which earlier ones a service with affinity keeps.
// Pure; a part of make_plan.
//
// A service without affinity writes its two tables in turns. One with affinity takes a place among
// the affinity tables for each table that differs from those it keeps, and goes back to one that is
// dealt again. An earlier table goes when nobody is known by it any more, or when room is wanted,
// and then the one that knows the fewest: so many places stay free that every service with affinity
// can take one at once. A service that goes by another one's clients has no tables of its own.
#pragma once

#include <set>
#include <vector>

#include "controlplane/plan/plan.h"

namespace penstock {

class TablePlaces {
 public:
  // Works on plan.next and plan.delta, whose services are there already. All outlive this.
  TablePlaces(const PlanState& current, const PlanInput& input, Plan& plan);

  // Whether the service's table has to be dealt anew, though its members are the same.
  bool is_outdated(ServiceId id) const;
  void keep(ServiceId id);
  void put(ServiceId id, LookupTable dealt);
  // After each service was kept or put.
  void finish();

 private:
  const ServiceEntry* before(ServiceId id) const;
  bool goes_on(ServiceId id) const;
  bool is_affinity_table(LookupTableId place) const;
  LookupTableId free_place(ServiceId id) const;
  std::vector<LookupTableId> candidates_for_earlier(ServiceId id) const;
  void put_with_affinity(ServiceId id, LookupTable dealt);
  void write(LookupTableId place, LookupTable table);
  void release_who_may_not_stay(ServiceId id, ServiceEntry& service);
  void forget(ServiceId id, ServiceEntry& service);
  void settle_slots(ServiceId id, const ServiceEntry& service);
  void give_up_one(ServiceId id, std::vector<LookupTableId>& earlier);
  void make_room();

  const PlanState& current_;
  const PlanInput& input_;
  Plan& plan_;
  uint32_t first_;  // of the affinity tables
};

}  // namespace penstock
