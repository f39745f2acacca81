// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The XDP driver's forwarder: a frame in, the core's walk, a verdict out. Nothing is decided here.
#include "bpf/tables.bpf.h"
#include "dataplane/core/walk.h"

// Of few frames, so the verifier checks it once, by itself.
PS_CALL int leave(struct xdp_md *ctx, int action, __u32 tags) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = ps_frame_of(ctx);
  return ps_leave(&tables, &frame, (enum ps_action)action, tags);
}

static __always_inline int finish(struct xdp_md *ctx, const struct ps_verdict *verdict) {
  int action = verdict->action;
  if (!PS_LIKELY(ps_is_untagged(verdict))) action = leave(ctx, action, verdict->tags);
  switch (action) {
    case PS_TRANSMIT:
      if (verdict->interface_index == ctx->ingress_ifindex) return XDP_TX;
      return (int)bpf_redirect(verdict->interface_index, 0);
    case PS_DROP: return XDP_DROP;
    case PS_PASS: break;
  }
  return XDP_PASS;
}

// What a frame becomes that is put off, by a program of its own.
static __always_inline int take_up(struct xdp_md *ctx, int family) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = ps_frame_of(ctx);
  const struct ps_verdict verdict = ps_take_up(&tables, &frame, family);
  return finish(ctx, &verdict);
}

SEC("xdp.frags") int take_up4(struct xdp_md *ctx) {
  return take_up(ctx, PS_IPV4);
}
SEC("xdp.frags") int take_up6(struct xdp_md *ctx) {
  return take_up(ctx, PS_IPV6);
}

static __always_inline int forward(struct xdp_md *ctx, int family, enum ps_kind kind);

#define WALK(name, family, kind)                  \
  SEC("xdp.frags") int name(struct xdp_md *ctx) { \
    return forward(ctx, family, kind);            \
  }

WALK(walk4_icmp, PS_IPV4, PS_ICMP)
WALK(walk4_first, PS_IPV4, PS_FIRST_FRAGMENT)
WALK(walk4_later, PS_IPV4, PS_LATER_FRAGMENT)
WALK(walk6, PS_IPV6, PS_WHOLE)
WALK(walk6_icmp, PS_IPV6, PS_ICMP)
WALK(walk6_first, PS_IPV6, PS_FIRST_FRAGMENT)
WALK(walk6_later, PS_IPV6, PS_LATER_FRAGMENT)
WALK(walk6_extended, PS_IPV6, PS_EXTENDED)
WALK(walk6_extended_udp, PS_IPV6, PS_EXTENDED_UDP)

// Takes the tags out and begins anew.
SEC("xdp.frags")
int tagged(struct xdp_md *ctx);

// Whole IPv4 packets are walked by it itself.
SEC("xdp.frags")
int penstock_balancer(struct xdp_md *ctx);

#define BEGIN PS_WHOLE
#define IPV6 PS_KINDS  // from there on
#define TAGGED (2 * PS_KINDS)
#define TAKE_UP (TAGGED + 1)  // IPv6: behind it

// By enum ps_kind, IPv4 first.
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, TAKE_UP + 2);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} programs SEC(".maps") = {.values = {
                               [BEGIN] = (void *)&penstock_balancer,
                               [PS_ICMP] = (void *)&walk4_icmp,
                               [PS_FIRST_FRAGMENT] = (void *)&walk4_first,
                               [PS_LATER_FRAGMENT] = (void *)&walk4_later,
                               [IPV6 + PS_WHOLE] = (void *)&walk6,
                               [IPV6 + PS_ICMP] = (void *)&walk6_icmp,
                               [IPV6 + PS_FIRST_FRAGMENT] = (void *)&walk6_first,
                               [IPV6 + PS_LATER_FRAGMENT] = (void *)&walk6_later,
                               [IPV6 + PS_EXTENDED] = (void *)&walk6_extended,
                               [IPV6 + PS_EXTENDED_UDP] = (void *)&walk6_extended_udp,
                               [TAGGED] = (void *)&tagged,
                               [TAKE_UP] = (void *)&take_up4,
                               [TAKE_UP + 1] = (void *)&take_up6,
                           }};

static __always_inline int forward(struct xdp_md *ctx, int family, enum ps_kind kind) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = ps_frame_of(ctx);
  const struct ps_verdict verdict = ps_walk_family(&tables, &frame, family, kind);
  if (PS_LIKELY(!verdict.is_put_off)) return finish(ctx, &verdict);
  ps_put_off(&tables, &frame, &verdict);
  bpf_tail_call(ctx, &programs, TAKE_UP + (family == PS_IPV6));
  return XDP_DROP;
}

int tagged(struct xdp_md *ctx) {
  const struct ps_tables tables = {};
  struct ps_frame frame = ps_frame_of(ctx);
  if (!ps_take_tags(&tables, &frame)) return XDP_PASS;
  bpf_tail_call(ctx, &programs, BEGIN);
  return leave(ctx, PS_PASS, 0) == PS_PASS ? XDP_PASS : XDP_DROP;
}

int penstock_balancer(struct xdp_md *ctx) {
  const struct ps_frame frame = ps_frame_of(ctx);
  switch (ps_frame_family(&frame)) {
    case PS_IPV4: {
      const enum ps_kind kind = ps_frame_kind(&frame, PS_IPV4);
      if (PS_LIKELY(kind == PS_WHOLE)) return forward(ctx, PS_IPV4, PS_WHOLE);
      bpf_tail_call(ctx, &programs, kind);
      break;
    }
    case PS_IPV6: bpf_tail_call(ctx, &programs, IPV6 + ps_frame_kind(&frame, PS_IPV6)); break;
    default:
      if (ps_frame_is_tagged(&frame)) bpf_tail_call(ctx, &programs, TAGGED);
  }
  return XDP_PASS;
}

// Not attached: a test run of it tells user space the tick that flows are stamped with.
SEC("xdp")
int penstock_clock(struct xdp_md *ctx) {
  return (int)now_ticks();
}

char _license[] SEC("license") = "GPL";
