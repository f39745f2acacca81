// SPDX-License-Identifier: Apache-2.0
// SipHash over text, on the core's rounds.
#include "controlplane/plan/hash_key.h"

#include <cstring>

#include "dataplane/core/siphash.h"

namespace penstock {

uint64_t siphash(const HashKey& key, std::string_view text) {
  const __u64 words[2] = {key[0], key[1]};
  ps_sip state;
  ps_sip_begin(&state, words);
  const uint64_t length_bits = static_cast<uint64_t>(text.size()) << 56;
  for (; text.size() >= 8; text.remove_prefix(8)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    ps_sip_absorb(&state, word);
  }
  uint64_t last = length_bits;
  for (size_t i = 0; i < text.size(); i++) {
    last |= static_cast<uint64_t>(static_cast<uint8_t>(text[i])) << (8 * i);
  }
  ps_sip_absorb(&state, last);
  return ps_sip_end(&state);
}

HashKey hash_key_from_seed(const std::string& seed) {
  return {siphash({0, 0}, seed), siphash({0, 1}, seed)};
}

}  // namespace penstock
