// SPDX-License-Identifier: Apache-2.0
// Maps by the names of table_layouts(), sized and mapped.
#include "dataplane/xdp/program.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <ctime>

namespace penstock {

Result<void> size_maps(bpf_object* object, const TableSizes& sizes, uint32_t workers) {
  for (const TableLayout& table : table_layouts(sizes, workers)) {
    bpf_map* map = bpf_object__find_map_by_name(object, table.name);
    if (!map || bpf_map__set_max_entries(map, table.elements) != 0) {
      return fail(ErrorKind::kSystem, fmt::format("cannot size the table {}", table.name));
    }
  }
  return {};
}

uint64_t jiffy_ns() {
  timespec resolution{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return static_cast<uint64_t>(resolution.tv_nsec);
}

void MappedTables::Unmap::operator()(void* memory) const {
  munmap(memory, bytes);
}

Result<MappedTables> MappedTables::map(const bpf_object* object, const TableSizes& sizes,
                                       uint32_t workers) {
  MappedTables mapped;
  mapped.tables_ = unplaced_tables(sizes, workers);
  for (const TableLayout& table : table_layouts(sizes, workers)) {
    const bpf_map* map = bpf_object__find_map_by_name(object, table.name);
    const size_t bytes = static_cast<size_t>(table.elements) * table.element_bytes;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    if (memory == MAP_FAILED) {
      return fail_errno(fmt::format("cannot map the table {}", table.name), errno);
    }
    mapped.memory_.emplace_back(memory, Unmap{bytes});
    table.place(mapped.tables_, memory);
  }
  return mapped;
}

}  // namespace penstock
