// SPDX-License-Identifier: Apache-2.0
// From the core's one list.
#include "dataplane/reason_text.h"

#include "dataplane/core/reasons.h"

namespace penstock {

std::string_view reason_text(std::string_view name) {
#define PS_REASON_TEXT(reason, verdict, text) \
  if (name == #reason) return text;
  PS_REASONS(PS_REASON_TEXT)
#undef PS_REASON_TEXT
  return "";
}

}  // namespace penstock
