// SPDX-License-Identifier: Apache-2.0
// One line a key.
#include "controlplane/control/fixed_settings.h"

namespace penstock {

std::string fixed_key_that_differs(const Config& before, const Config& after) {
  const DataplaneConfig& a = before.dataplane;
  const DataplaneConfig& b = after.dataplane;
  if (a.driver != b.driver) return "dataplane.driver";
  if (a.interfaces != b.interfaces) return "dataplane.interfaces";
  if (a.snat_addresses != b.snat_addresses) return "dataplane.snat_addresses";
  if (!(a.snat_ports == b.snat_ports)) return "dataplane.snat_ports";
  if (a.flow_table_entries != b.flow_table_entries) return "dataplane.flow_table_entries";
  if (a.max_services != b.max_services) return "dataplane.max_services";
  if (a.max_backends != b.max_backends) return "dataplane.max_backends";
  if (a.affinity_tables != b.affinity_tables) return "dataplane.affinity_tables";
  if (a.affinity_entries != b.affinity_entries) return "dataplane.affinity_entries";
  if (a.access_nodes != b.access_nodes) return "dataplane.access_nodes";
  if (a.pin_path != b.pin_path) return "dataplane.pin_path";
  if (!(before.dpdk == after.dpdk)) return "dpdk";
  if (before.sidecar != after.sidecar) return "sidecar";
  if (before.sidecar_namespace != after.sidecar_namespace) return "sidecar_namespace";
  if (before.control.socket != after.control.socket) return "control.socket";
  if (before.control.state_directory != after.control.state_directory) {
    return "control.state_directory";
  }
  if (before.appliance.hash_seed != after.appliance.hash_seed) return "appliance.hash_seed";
  return "";
}

}  // namespace penstock
