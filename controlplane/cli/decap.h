// SPDX-License-Identifier: Apache-2.0
// `penstock decap`: a tunnel backend's decapsulator, in the foreground.
#pragma once

#include <string>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

// Until SIGINT or SIGTERM; nothing of it stays. Says at its end what it took apart. `sources` and
// `vips` are prefixes or addresses as text.
Result<void> run_decapsulator(const std::string& interface, const std::vector<std::string>& sources,
                              const std::vector<std::string>& vips);

}  // namespace penstock
