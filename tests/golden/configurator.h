// SPDX-License-Identifier: Apache-2.0
// Applies one configuration after the other to an executor's tables, lookup tables in turn.
#pragma once

#include "dataplane/tables/writer.h"
#include "tests/golden/corpus.h"

namespace penstock::golden {

class Configurator {
 public:
  explicit Configurator(const ps_tables& tables) : writer_(tables, [] { return Result<void>{}; }) {}

  Result<void> apply(const Configuration& configuration) {
    Delta delta{.next = configuration.state};
    for (auto& [id, service] : delta.next.services) {
      service.lookup_table = own_lookup_table(id, lookup_table_);
      delta.lookup_tables[service.lookup_table] = configuration.lookup_tables.at(id);
    }
    lookup_table_ ^= 1;
    return writer_.apply(delta, configuration.interfaces);
  }

 private:
  TableWriter writer_;
  uint8_t lookup_table_ = 0;
};

}  // namespace penstock::golden
