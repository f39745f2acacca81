// SPDX-License-Identifier: Apache-2.0
// What the daemon tells of itself: the documents of GET /v1/status and /v1/explain
// (control/openapi.cc).
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "controlplane/control/daemon.h"

namespace penstock {

boost::json::object status_json(const Daemon& daemon);

// kNotFound: no such service; kInvalid: not an address, or of the other family.
Result<boost::json::object> explain_json(const Daemon& daemon, const std::string& client,
                                         const std::string& service);

}  // namespace penstock
