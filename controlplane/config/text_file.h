// SPDX-License-Identifier: Apache-2.0
// Small text files, read and replaced as a whole.
#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>

#include "dataplane/result.h"

namespace penstock {

tl::expected<std::string, std::error_code> read_text_file(const std::string& path);

// Written beside, synced and renamed: a reader, or the next start after a power cut, meets the old
// text or the new one. Mode 0600.
Result<void> replace_text_file(const std::string& path, std::string_view text);

}  // namespace penstock
