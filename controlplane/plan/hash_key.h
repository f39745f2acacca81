// SPDX-License-Identifier: Apache-2.0
// Keyed hashing of text, and the key itself.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock {

using HashKey = std::array<uint64_t, 2>;

// SipHash-1-3, the same that the core hashes client addresses with.
uint64_t siphash(const HashKey& key, std::string_view text);

// 128-bit key from the configuration's seed text: the same text gives the same key on every
// appliance.
HashKey hash_key_from_seed(const std::string& seed);

}  // namespace penstock
