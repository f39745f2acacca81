// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Which clients a service lets in: the longest prefix that has the client decides.
//
// The lists are a trie of four bits a node, leaf-pushed (an entry is the answer or the next node),
// so that a look ends at the first leaf: after 8 nodes at most over IPv4, 32 over IPv6. The control
// plane builds it (tables/access_trie.h).
#pragma once

#include "dataplane/core/access.h"

#define PS_ACCESS_STEPS 32

// From the service's entry, by the address's bits (the first one highest), to the leaf. What leads
// outside the table lets nobody in.
PS_INLINE enum ps_reason ps_ask_access(const struct ps_tables *tables,
                                       const struct ps_service *service,
                                       const struct ps_address *client) {
  const struct ps_be32 *word = client->word;
  __u64 high = (__u64)ps_host32(word[0]) << 32 | ps_host32(word[1]);
  __u64 low = (__u64)ps_host32(word[2]) << 32 | ps_host32(word[3]);
  __u32 entry = service->access;
  for (int step = 0; step < PS_ACCESS_STEPS && entry >= PS_ACCESS_FIRST_NODE; step++) {
    const struct ps_access_node *node = ps_access_node_at(tables, entry);
    if (!node) break;
    entry = node->entry[high >> 60];
    high = high << 4 | low >> 60;
    low <<= 4;
  }
  return entry == PS_ACCESS_LET_IN ? PS_REASON_NONE : PS_REASON_access_denied;
}
