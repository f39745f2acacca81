// SPDX-License-Identifier: Apache-2.0
// The release, as meson.build names it.
#pragma once

namespace penstock {

inline constexpr const char* kVersion = PENSTOCK_VERSION;

}  // namespace penstock
