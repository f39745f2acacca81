// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Which service a packet is for, and what its lookup table says of a client.
#pragma once

#include "dataplane/core/access.h"
#include "dataplane/core/siphash.h"

// Spreads a word over 64 bits: two multiplications (the constants are MurmurHash3's finaliser).
PS_INLINE __u64 ps_mix(__u64 x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

// Where the service index is searched from. Not keyed: services are the operator's, not a client's
// choice.
PS_INLINE __u32 ps_service_hash(int family, const struct ps_address *vip, struct ps_be16 port,
                                __u8 protocol) {
  __u64 hash = vip->word[0].raw | ((__u64)port.raw << 32) | ((__u64)protocol << 48);
  if (family == PS_IPV6) {
    hash ^= ps_mix(ps_pair(vip->word[1], vip->word[2]) ^ ((__u64)vip->word[3].raw << 16));
  }
  return (__u32)(ps_mix(hash) >> 32);
}

// Port, family and protocol of a service or a backend as they stand in memory, for one comparison.
PS_INLINE __u32 ps_port_key(int family, struct ps_be16 port, __u8 protocol) {
  return port.raw | ((__u32)family << 16) | ((__u32)protocol << 24);
}

// 0: none. The control plane places every service within PS_SERVICE_PROBES of its hash. Without
// port and protocol: any service of the address.
PS_INLINE __u16 ps_find_service(const struct ps_tables *tables, __u32 generation, int family,
                                const struct ps_address *vip, struct ps_be16 port, __u8 protocol) {
  const __u32 size = ps_service_index_size(tables);
  const __u32 key = ps_port_key(family, port, protocol);
  __u32 slot = ps_scale(ps_service_hash(family, vip, port, protocol), size);
  for (int probe = 0; probe < PS_SERVICE_PROBES; probe++, slot++) {
    const __u16 *id = ps_service_index_at(tables, generation, slot < size ? slot : slot - size);
    if (!id || *id == 0) return 0;
    const struct ps_service *service = ps_service_at(tables, generation, *id);
    if (!service) return 0;
    if ((protocol ? ps_load32(&service->port) == key : service->family == family) &&
        ps_same_address(family, &service->vip, vip)) {
      return *id;
    }
  }
  return 0;
}

PS_INLINE int ps_is_vip_of_family(const struct ps_tables *tables, __u32 generation, int family,
                                  const struct ps_address *address) {
  const struct ps_be16 no_port = {0};
  return ps_find_service(tables, generation, family, address, no_port, 0) != 0;
}

// Whether it is the address of a service, whatever the port.
PS_CALL int ps_is_vip(const struct ps_tables *tables, __u32 generation, int family,
                      const struct ps_address *address) {
  if (!tables || !address) return 0;
  return family == PS_IPV4 ? ps_is_vip_of_family(tables, generation, PS_IPV4, address)
                           : ps_is_vip_of_family(tables, generation, PS_IPV6, address);
}

// The part of a client's address that its service hashes.
PS_INLINE struct ps_address ps_masked_client(int family, const struct ps_service *service,
                                             const struct ps_address *client) {
  struct ps_address masked = {};
  masked.word[0].raw = client->word[0].raw & service->client_mask.word[0].raw;
  if (family == PS_IPV6) {
    for (int i = 1; i < 4; i++) {
      masked.word[i].raw = client->word[i].raw & service->client_mask.word[i].raw;
    }
  }
  return masked;
}

PS_INLINE __u64 ps_client_hash(const struct ps_settings *settings, int family,
                               const struct ps_service *service, const struct ps_address *client,
                               struct ps_be16 client_port) {
  const struct ps_address masked = ps_masked_client(family, service, client);
  return ps_siphash_client(settings->hash_key, family, &masked, service->hashes_port, client_port);
}

PS_INLINE __u32 ps_lookup_slot(__u64 client_hash) {
  return ps_scale((__u32)(client_hash >> 32), PS_LOOKUP_SLOTS);
}

// What the service's table holds for the hash: a backend's id (0: nobody takes clients), and
// PS_CONTESTED as it stands there.
PS_INLINE __u16 ps_look_up(const struct ps_tables *tables, const struct ps_service *service,
                           __u64 client_hash) {
  const struct ps_lookup_table *table = ps_lookup_table_at(tables, service->lookup_table);
  __u32 slot = ps_lookup_slot(client_hash);
  PS_UNBOUND(slot);  // else the compiler drops the bound, which Linux 6.1 cannot find itself
  return table && slot < PS_LOOKUP_SLOTS ? table->slots[slot] : 0;
}
