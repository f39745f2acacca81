// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// How the clients of a burst choose their backends: by their hashes, made side by side.
#pragma once

#include "dataplane/core/likeness.h"
#include "dataplane/core/siphash_lanes.h"

// Of clients of one family, at their frames' places.
struct ps_choices {
  __u64 word[PS_CLIENT_WORDS][PS_MAX_BURST] __attribute__((aligned(64)));  // ps_client_words
  __u64 slot[PS_MAX_BURST] __attribute__((aligned(64)));                   // ps_lookup_slot
  __u32 first;                                                             // place that has one
  __u32 end;  // behind the last; 0: none has
};

// `with_port`: the service's hashes_port.
PS_INLINE void ps_ask_choice(struct ps_choices *choices, __u32 place, int family,
                             const struct ps_service *service, int with_port,
                             const struct ps_packet *packet) {
  const struct ps_address masked = ps_masked_client(family, service, packet->source);
  __u64 word[PS_CLIENT_WORDS];
  ps_client_words(family, &masked, with_port, packet->source_port, word);
  for (int i = 0; i < ps_client_word_count(family); i++) choices->word[i][place] = word[i];
}

// Those places have choices; later ones come later.
PS_INLINE void ps_note_choices(struct ps_choices *choices, __u32 first, __u32 end) {
  if (!choices->end) choices->first = first;
  choices->end = end;
}

PS_BY_PROCESSOR static inline void ps_make_choices(const struct ps_settings *settings, int family,
                                                   struct ps_choices *choices) {
  struct ps_sip begun;
  ps_sip_begin(&begun, settings->hash_key);
  for (__u32 at = choices->first / PS_LANES * PS_LANES; at < choices->end; at += PS_LANES) {
    ps_lanes hash;
    ps_siphash_lanes(&begun, ps_client_word_count(family), &choices->word[0][at], PS_MAX_BURST,
                     &hash);
    *(ps_lanes *)&choices->slot[at] = ((hash >> 32) * PS_LOOKUP_SLOTS) >> 32;
  }
  choices->end = 0;
}
