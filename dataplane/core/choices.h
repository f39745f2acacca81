// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What the clients of a burst choose their backends by: their hashes, made side by side.
#pragma once

#include "dataplane/core/select.h"
#include "dataplane/core/siphash_lanes.h"

#define PS_MAX_BURST 64  // frames; a multiple of PS_LANES

// Of clients of one family. Begins with a count of 0.
struct ps_choices {
  __u64 word[PS_CLIENT_WORDS][PS_MAX_BURST] __attribute__((aligned(64)));  // ps_client_words
  __u64 hash[PS_MAX_BURST] __attribute__((aligned(64)));
  __u32 count;
};

// Writes the choice at that place.
PS_INLINE void ps_ask_choice(struct ps_choices *choices, __u32 place, int family,
                             const struct ps_service *service, const struct ps_address *client,
                             struct ps_be16 port) {
  const struct ps_address masked = ps_masked_client(family, service, client);
  __u64 word[PS_CLIENT_WORDS];
  ps_client_words(family, &masked, service->hashes_port, port, word);
  for (int i = 0; i < ps_client_word_count(family); i++) choices->word[i][place] = word[i];
}

PS_INLINE void ps_hash_choices(const struct ps_settings *settings, int family,
                               struct ps_choices *choices) {
  if (!choices->count) return;
  ps_siphash_lanes(settings->hash_key, ps_client_word_count(family), choices->word[0], PS_MAX_BURST,
                   choices->count, choices->hash);
}
