// SPDX-License-Identifier: Apache-2.0
// What holds for every frame, whatever it holds: ends the process with a reason where it does not.
#pragma once

#include "dataplane/core/reasons.h"
#include "tests/fuzz/steps.h"
#include "tests/fuzz/worlds.h"

namespace penstock::fuzz {

enum class Action : uint8_t { kPass, kDrop, kTransmit };

struct Passage {
  Bytes in;
  Bytes out;
  uint32_t ingress = 0;
  Action action = Action::kPass;
  ps_reason reason = PS_REASON_NONE;
  uint32_t egress = 0;  // kTransmit
};

void judge(const Passage& passage, const Places& places);

// Says so, with the frames of the passage that is judged now, and aborts.
void require(bool holds, const char* what);

}  // namespace penstock::fuzz
