// SPDX-License-Identifier: Apache-2.0
// What the daemon tells of itself: the document of GET /v1/status (control/openapi.cc).
#pragma once

#include <boost/json/object.hpp>

#include "controlplane/control/daemon.h"

namespace penstock {

// Costs a pass over the flow tables.
boost::json::object status_json(const Daemon& daemon);

}  // namespace penstock
