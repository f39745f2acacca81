// SPDX-License-Identifier: Apache-2.0
// The text for people of a drop or pass reason, by its name in counters (core/reasons.h).
#pragma once

#include <string_view>

namespace penstock {

// Empty: no such reason.
std::string_view reason_text(std::string_view name);

}  // namespace penstock
