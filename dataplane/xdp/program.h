// SPDX-License-Identifier: Apache-2.0
// A BPF program over tables of given sizes: what the daemon's loader, the golden executor and the
// benchmark share.
#pragma once

#include <bpf/libbpf.h>

#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/tables/layout.h"

namespace penstock {

// Before load: the sizes of the maps of bpf/tables.bpf.h.
Result<void> size_maps(bpf_object* object, const TableSizes& sizes, uint32_t workers);

// The kernel's tick: what CLOCK_MONOTONIC_COARSE resolves.
uint64_t jiffy_ns();

// Before load: the constants of bpf/tables.bpf.h in a skeleton's read-only data.
template <typename ReadOnlyData>
void size_constants(ReadOnlyData& rodata, const TableSizes& sizes) {
  const ps_tables numbers = unplaced_tables(sizes, 1);
  rodata.max_services = numbers.max_services;
  rodata.max_backends = numbers.max_backends;
  rodata.affinity_tables = numbers.affinity_tables;
  rodata.affinity_sets = numbers.affinity_sets;
  rodata.index_sets = numbers.index_sets;
  rodata.flow_sets = numbers.flow_sets;
  rodata.jiffy_ns = jiffy_ns();
}

// The maps of a loaded object, mapped into this process for as long as this lives.
class MappedTables {
 public:
  static Result<MappedTables> map(const bpf_object* object, const TableSizes& sizes,
                                  uint32_t workers);
  MappedTables(MappedTables&&) = default;
  MappedTables& operator=(MappedTables&&) = default;

  const ps_tables& tables() const { return tables_; }

 private:
  MappedTables() = default;

  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };
  std::vector<std::unique_ptr<void, Unmap>> memory_;
  ps_tables tables_{};
};

}  // namespace penstock
