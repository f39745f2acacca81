// SPDX-License-Identifier: Apache-2.0
// Which backend a client meets, and why: the document of GET /v1/explain (control/openapi.cc).
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "controlplane/control/daemon.h"
#include "dataplane/address.h"

namespace penstock {

// kNotFound: no such service; kInvalid: not an address, or of the other family; kConflict: nothing
// is planned yet.
Result<boost::json::object> explain_json(const Daemon& daemon, const std::string& client,
                                         const std::string& service);

// The address with the bits after the first `bits` cleared, "198.18.0.0/24". Pure.
std::string prefix_text(IpAddress address, int bits);

}  // namespace penstock
