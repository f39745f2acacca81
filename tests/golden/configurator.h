// SPDX-License-Identifier: Apache-2.0
// Applies one configuration after the other to an executor's tables, a service's own two lookup
// tables in turn.
#pragma once

#include "dataplane/tables/writer.h"
#include "tests/golden/corpus.h"

namespace penstock::golden {

class Configurator {
 public:
  explicit Configurator(const ps_tables& tables)
      : writer_(tables, [] { return Result<void>{}; }),
        first_affinity_table_(
            static_cast<LookupTableId>(PS_FIRST_AFFINITY_TABLE(tables.max_services))) {}

  Result<void> apply(const Configuration& configuration) {
    Delta delta{.next = configuration.state};
    for (const auto& [place, table] : configuration.earlier_tables) {
      delta.lookup_tables[affinity_table(place)] = table;
    }
    for (auto& [id, service] : delta.next.services) {
      service.lookup_table = service.affinity_idle.count() > 0
                                 ? affinity_table(service.lookup_table)
                                 : own_lookup_table(id, lookup_table_);
      for (LookupTableId& place : service.earlier) place = affinity_table(place);
      delta.lookup_tables[service.lookup_table] = configuration.lookup_tables.at(id);
    }
    for (const LookupTableId place : configuration.begun) delta.begun.insert(affinity_table(place));
    lookup_table_ ^= 1;
    return writer_.apply(delta, configuration.interfaces);
  }

 private:
  LookupTableId affinity_table(LookupTableId place) const {
    return static_cast<LookupTableId>(first_affinity_table_ + place);
  }

  TableWriter writer_;
  LookupTableId first_affinity_table_;
  uint8_t lookup_table_ = 0;
};

}  // namespace penstock::golden
