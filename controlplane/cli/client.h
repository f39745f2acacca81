// SPDX-License-Identifier: Apache-2.0
// The control socket from the other side: one request, one answer.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "dataplane/result.h"

namespace penstock {

// `body` null: none. A problem document comes back as its detail; kNotFound when no daemon answers.
Result<boost::json::value> ask_daemon(const std::string& socket, const std::string& method,
                                      const std::string& target,
                                      const boost::json::value& body = nullptr);

// For parts of a path and of a query.
std::string encode_percent(const std::string& text);

}  // namespace penstock
