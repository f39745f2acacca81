// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// How many new flows a second the clients of a prefix may open: a token bucket for each.
//
// Kept as one number, the time at which the bucket is full again (the virtual scheduling form of
// the GCRA, ITU-T I.371): each new flow puts it off by `limit_step`, and may do so while it is at
// most `limit_burst` away. A bucket that is not known is a full one. Refused flows cost nothing.
//
// It is remembered like all that was seen lately (recent.h), in sets of four where the oldest gives
// way: a flood from very many prefixes has buckets forgotten, which are full then, and of two
// processors that let flows in at once one may go unheard. The clock is the tables': what a tick
// (268 ms) brings comes at its beginning.
#pragma once

#include "dataplane/core/recent.h"

#define PS_LIMIT_SHIFT 24  // its time is in 2^-24 ticks (16 ns), 417 days until they wrap

PS_INLINE __u64 ps_limit_key(const struct ps_settings *settings, const struct ps_service *service,
                             const struct ps_address *client) {
  struct ps_address masked;
  for (int i = 0; i < 4; i++) {
    masked.word[i].raw = client->word[i].raw & service->limit_mask.word[i].raw;
  }
  const struct ps_tuple tuple = {&masked, &service->vip, {0}, service->port, service->protocol};
  return ps_tuple_hash(settings, PS_IPV6, &tuple);
}

// Takes a new flow out of the client's bucket, if there is a limit.
PS_MUST_USE PS_INLINE enum ps_reason ps_take_token(const struct ps_tables *tables,
                                                   const struct ps_settings *settings,
                                                   const struct ps_service *service,
                                                   const struct ps_address *client,
                                                   __u32 now_ticks) {
  if (!service->limit_step) return PS_REASON_NONE;
  const __u64 key = ps_limit_key(settings, service, client);
  struct ps_recent_set *set = ps_recent_set_of(tables, PS_NEW_FLOWS, key);
  const __u64 now = (__u64)now_ticks << PS_LIMIT_SHIFT & PS_RECENT_VALUE;
  const __u64 known = ps_recall(set, key, now_ticks, PS_RECENT_EVER) & PS_RECENT_VALUE;
  __u64 taken = known ? (known - now) & PS_RECENT_VALUE : 0;
  if (taken > service->limit_burst) taken = 0;  // it is past
  taken += service->limit_step;
  if (taken > service->limit_burst) return PS_REASON_new_flow_limit;
  ps_remember(set, key, (now + taken) & PS_RECENT_VALUE, now_ticks);
  return PS_REASON_NONE;
}

// The same as a call, where a flow is made (enum ps_reason).
PS_CALL int ps_take_new_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                             const struct ps_service *service, const struct ps_address *client,
                             __u32 now_ticks) {
  if (!tables || !settings || !service || !client) return PS_REASON_tables_unreadable;
  return service->is_guarded ? ps_take_token(tables, settings, service, client, now_ticks)
                             : PS_REASON_NONE;
}
