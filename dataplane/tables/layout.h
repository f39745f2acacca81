// SPDX-License-Identifier: Apache-2.0
// How big each table is, and the tables in anonymous memory for tests and tools.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/tables/memory.h"

namespace penstock {

// One table: its name (the BPF map's too), how many elements of how many bytes, and where ps_tables
// keeps its address.
struct TableLayout {
  const char* name;
  uint32_t elements;
  uint32_t element_bytes;
  void (*place)(ps_tables& tables, void* memory);
};

// Every table for these sizes and this many workers (processors that forward).
std::vector<TableLayout> table_layouts(const TableSizes& sizes, uint32_t workers);

// The scalar members of ps_tables for these sizes; all addresses null.
ps_tables unplaced_tables(const TableSizes& sizes, uint32_t workers);

// Writes `control` of tables made anew.
void initialise_control(const ps_tables& tables, const TableSizes& sizes);

// kConflict, saying what differs, unless `control` was made by this version with these sizes.
Result<void> check_control(const ps_control& control, const TableSizes& sizes, uint32_t workers);

// Tables in zeroed memory of this process; they live as long as this does.
class AnonymousTables {
 public:
  AnonymousTables(const TableSizes& sizes, uint32_t workers);
  const ps_tables& tables() const { return tables_; }

 private:
  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };
  std::vector<std::unique_ptr<void, Unmap>> memory_;
  ps_tables tables_;
};

}  // namespace penstock
