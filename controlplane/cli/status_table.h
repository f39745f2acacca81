// SPDX-License-Identifier: Apache-2.0
// The status document as a table for people. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>

namespace penstock {

// `colour`: with terminal escapes, for what needs attention.
std::string status_table(const boost::json::object& status, bool colour);
// Of a status: the sidecar and its certificates.
std::string certificate_table(const boost::json::object& status, bool colour);
std::string explanation_text(const boost::json::object& explanation);

}  // namespace penstock
