// SPDX-License-Identifier: Apache-2.0
// The description of the control socket (OpenAPI 3.1), served at /v1/openapi.json.
#pragma once

#include <string_view>

namespace penstock {

std::string_view openapi_document();

}  // namespace penstock
