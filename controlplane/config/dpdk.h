// SPDX-License-Identifier: Apache-2.0
// The table [dpdk], and its rules.
#pragma once

#include "controlplane/config/config.h"
#include "controlplane/config/toml_reader.h"

namespace penstock {

void read_dpdk(const toml::table& table, const std::string& file, DpdkConfig& dpdk,
               Findings& findings);

}  // namespace penstock
