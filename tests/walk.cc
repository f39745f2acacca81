// SPDX-License-Identifier: Apache-2.0
#include "tests/walk.h"

namespace penstock {

ps_verdict walk(const ps_tables& tables, const ps_frame& frame) {
  return ps_walk(&tables, &frame);
}

}  // namespace penstock
