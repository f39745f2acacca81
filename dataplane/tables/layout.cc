// SPDX-License-Identifier: Apache-2.0
// Sizes of the tables, from core/tables.h.
#include "dataplane/tables/layout.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace penstock {
namespace {

template <auto Member>
void place(ps_tables& tables, void* memory) {
  tables.*Member = static_cast<std::remove_reference_t<decltype(tables.*Member)>>(memory);
}

template <auto Member>
TableLayout layout(const char* name, uint32_t elements) {
  using Element = std::remove_pointer_t<std::remove_reference_t<decltype(ps_tables{}.*Member)>>;
  return {name, elements, sizeof(Element), place<Member>};
}

Result<void> same(const char* key, uint32_t running, uint32_t wanted) {
  if (running == wanted) return {};
  return fail(
      ErrorKind::kConflict,
      fmt::format("the running tables have {} = {}, the configuration says {}: set it back, or "
                  "run `penstock stop` first (open connections will be lost)",
                  key, running, wanted));
}

}  // namespace

std::vector<TableLayout> table_layouts(const TableSizes& sizes, uint32_t workers) {
  const uint32_t entries = sizes.flow_table_entries;
  const uint32_t services = sizes.max_services;
  const uint32_t backends = sizes.max_backends;
  return {
      layout<&ps_tables::control>("control", 1),
      layout<&ps_tables::settings>("settings", PS_GENERATIONS),
      layout<&ps_tables::arrivals>("arrivals", workers),
      layout<&ps_tables::service_index>("service_index",
                                        PS_GENERATIONS * PS_SERVICE_INDEX_SLOTS(services) / 4),
      layout<&ps_tables::services>("services", PS_GENERATIONS * services),
      layout<&ps_tables::access_nodes>("access_nodes",
                                       std::max(1u, PS_GENERATIONS * sizes.access_nodes)),
      layout<&ps_tables::backend_index>("backend_index",
                                        PS_GENERATIONS * PS_BACKEND_INDEX_SLOTS(backends) / 4),
      layout<&ps_tables::backends>("backends", PS_GENERATIONS * backends),
      layout<&ps_tables::lookup_tables>("lookup_tables",
                                        PS_LOOKUP_TABLES(services, sizes.affinity_tables)),
      layout<&ps_tables::known_clients>("known_clients",
                                        std::max(1u, sizes.affinity_tables * PS_LOOKUP_SLOTS)),
      layout<&ps_tables::affinities>("affinities", PS_AFFINITY_SETS(sizes.affinity_entries)),
      layout<&ps_tables::recent>("recent", PS_RECENT_TABLES * PS_RECENT_SETS),
      layout<&ps_tables::flow_index4>("flow_index4", PS_INDEX_SETS(entries)),
      layout<&ps_tables::flow_index6>("flow_index6", PS_INDEX_SETS(entries)),
      layout<&ps_tables::flows4>("flows4", PS_FLOW_SETS(entries)),
      layout<&ps_tables::flows6>("flows6", PS_FLOW_SETS(entries)),
      layout<&ps_tables::service_traffic>("service_traffic", workers * services),
      layout<&ps_tables::backend_traffic>("backend_traffic", workers * backends),
      layout<&ps_tables::reasons>("reasons", workers * services),
  };
}

ps_tables unplaced_tables(const TableSizes& sizes, uint32_t workers) {
  ps_tables tables{};
  tables.max_services = sizes.max_services;
  tables.max_backends = sizes.max_backends;
  tables.max_access_nodes = sizes.access_nodes;
  tables.affinity_tables = sizes.affinity_tables;
  tables.affinity_sets = PS_AFFINITY_SETS(sizes.affinity_entries);
  tables.index_sets = PS_INDEX_SETS(sizes.flow_table_entries);
  tables.flow_sets = PS_FLOW_SETS(sizes.flow_table_entries);
  tables.workers = workers;
  return tables;
}

void initialise_control(const ps_tables& tables, const TableSizes& sizes) {
  ps_control control{};
  control.layout_version = PS_LAYOUT_VERSION;
  control.flow_table_entries = sizes.flow_table_entries;
  control.max_services = sizes.max_services;
  control.max_backends = sizes.max_backends;
  control.workers = tables.workers;
  control.affinity_tables = sizes.affinity_tables;
  control.affinity_entries = sizes.affinity_entries;
  control.access_nodes = sizes.access_nodes;
  *tables.control = control;
}

Result<void> check_control(const ps_control& control, const TableSizes& sizes, uint32_t workers) {
  if (control.layout_version != PS_LAYOUT_VERSION) {
    return fail(ErrorKind::kConflict,
                fmt::format("the running tables have layout {}, this penstock has layout {}: run "
                            "`penstock stop` first (open connections will be lost)",
                            control.layout_version, PS_LAYOUT_VERSION));
  }
  auto result = same("flow_table_entries", control.flow_table_entries, sizes.flow_table_entries);
  if (result) result = same("max_services", control.max_services, sizes.max_services);
  if (result) result = same("max_backends", control.max_backends, sizes.max_backends);
  if (result) result = same("affinity_tables", control.affinity_tables, sizes.affinity_tables);
  if (result) result = same("affinity_entries", control.affinity_entries, sizes.affinity_entries);
  if (result) result = same("access_nodes", control.access_nodes, sizes.access_nodes);
  if (result) result = same("processors", control.workers, workers);
  return result;
}

void AnonymousTables::Unmap::operator()(void* memory) const {
  munmap(memory, bytes);
}

AnonymousTables::AnonymousTables(const TableSizes& sizes, uint32_t workers)
    : tables_(unplaced_tables(sizes, workers)) {
  for (const TableLayout& table : table_layouts(sizes, workers)) {
    const size_t bytes = static_cast<size_t>(table.elements) * table.element_bytes;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_.emplace_back(memory, Unmap{bytes});
    table.place(tables_, memory);
  }
  initialise_control(tables_, sizes);
}

}  // namespace penstock
