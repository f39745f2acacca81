# SPDX-License-Identifier: Apache-2.0
"""The main job, shown: real clients over real instances, one of which fails and comes back.

Each step records claims; a claim is only ever "seen" because it was observed on the traffic.
"""

import time

from . import appliance, clients, servers, world

REQUESTS = 5  # of each client by each protocol
LARGEST_SPREAD = 1.35
VICTIM = world.INSTANCES[2]
SAMPLES = ("198.18.0.1", "198.18.0.2", "198.18.0.200", "2001:db8:18::1", "2001:db8:18::c8")
NAMES = [instance.name for instance in world.INSTANCES]


class Report:
    """The claims, with whether each was seen and in which figures."""

    def __init__(self):
        self.claims = []

    def claim(self, text, seen, figures):
        self.claims.append((text, bool(seen), figures))

    def unseen(self):
        return [text for text, seen, _ in self.claims if not seen]

    def print(self):
        print("\nSeen")
        width = max(len(text) for text, _, _ in self.claims)
        for text, seen, figures in self.claims:
            print(f"  {'yes' if seen else 'NO ':<4} {text:<{width}}  {figures}")


def run():
    """Shows the main job in a world that is up; returns the report."""
    report = Report()
    http = show_spread(report)
    show_failure(report, http)
    return report


def show_spread(report):
    """Where the clients go, and that they stay; returns their homes."""
    print(f"\nClients at each instance ({REQUESTS} requests a client, each from a new source port)")
    print(f"  {'service':<32}{''.join(f'{name:>7}' for name in NAMES)}   largest/mean")
    seen = {kind: clients.send(kind, clients.EVERYONE, requests=REQUESTS)
            for kind in ("http", "udp")}
    for kind, services, port in (("http", world.HTTP_SERVICES, world.HTTP_PORT),
                                 ("udp", world.ECHO_SERVICES, world.ECHO_PORT)):
        for family, service in services.items():
            where = f"{service:<7}{world.endpoint(world.VIPS[family], port)}"
            show_service(report, kind, where, clients.of_family(seen[kind], family))
    homes = {kind: clients.homes(answers) for kind, answers in seen.items()}
    print("  for example: " + "\n               ".join(
        f"{client} -> {homes['http'].get(client)}" for client in SAMPLES))
    if world.current().has_tls:
        show_tls(report, homes["http"])
    apart = clients.moved(homes["http"], homes["udp"])
    report.claim("a client's TCP and UDP meet at one instance", not apart,
                 f"{len(homes['http']) - len(apart)} of {len(clients.EVERYONE)} clients")
    return homes["http"]


def show_tls(report, homes):
    """The same clients over TLS: requests, and a WebSocket each."""
    for kind, words in (("https", "https"), ("ws", "a WebSocket over TLS")):
        seen = clients.send(kind, clients.EVERYONE, requests=REQUESTS)
        for family, service in world.HTTP_SERVICES.items():
            where = f"{service:<7}{world.endpoint(world.VIPS[family], world.TLS_PORT)}"
            show_service(report, kind, where, clients.of_family(seen, family))
        apart = clients.moved(homes, clients.homes(seen))
        report.claim(f"a client's http and {words} meet at one instance", not apart,
                     f"{len(homes) - len(apart)} of {len(clients.EVERYONE)} clients")


def show_service(report, kind, where, seen):
    counts, spread = clients.spread(clients.homes(seen))
    print(f"  {where:<32}{''.join(f'{counts[name]:>7}' for name in NAMES)}   {spread:.2f}")
    label = f"{kind} to {where.split()[1]}"
    asked, failed = len(seen) * REQUESTS, clients.errors(seen)
    wanderers = clients.wanderers(seen)
    report.claim(f"{label}: every request is answered", not failed,
                 f"{asked - len(failed)} of {asked}{sample(failed)}")
    report.claim(f"{label}: every client stays at one instance", not wanderers and seen,
                 f"{len(seen) - len(wanderers)} of {len(seen)} clients{sample(wanderers)}")
    report.claim(f"{label}: all instances share the clients",
                 set(counts) == set(NAMES) and spread <= LARGEST_SPREAD,
                 f"largest over mean {spread:.2f}, at most {LARGEST_SPREAD}")


def show_failure(report, before):
    """Kills an instance and brings it back; only its own clients move, and come back."""
    own = {client for client, home in before.items() if home == VICTIM.name}
    took = kill_victim()
    print(f"\n{VICTIM.name} is killed: found down after {took:.1f} s")
    during = show_move(report, "a failure moves its own clients only", before, before, own)
    servers.start([VICTIM])
    started = time.monotonic()
    appliance.wait_health(VICTIM.name, "up")
    print(f"{VICTIM.name} is started again: found up after {time.monotonic() - started:.1f} s")
    after = show_move(report, "a recovery moves them back only", before, during, own)
    report.claim("after it every client is where it was", not clients.moved(before, after),
                 f"{len(before) - len(clients.moved(before, after))} of {len(before)} clients")


def kill_victim():
    """Returns how long the appliance took to find the victim down in both HTTP services."""
    servers.kill(VICTIM)
    killed = time.monotonic()
    appliance.wait_health(VICTIM.name, "down")
    return time.monotonic() - killed


def show_move(report, claim, before, previous, own):
    """All clients ask again; compares with where they were at the step before."""
    seen = clients.send("http", clients.EVERYONE)
    failed, now = clients.errors(seen), clients.homes(seen)
    gone = clients.moved(previous, now)
    counts, _ = clients.spread({client: now.get(client) for client in own})
    print(f"  {len(gone)} clients moved: the {len(own)} of {VICTIM.name} are now at "
          + ", ".join(f"{name} {counts[name]}" for name in NAMES if counts[name]))
    report.claim(claim, gone == own and not failed and own,
                 f"{len(gone & own)} of its {len(own)} moved, {len(gone - own)} of the other "
                 f"{len(before) - len(own)}{sample(failed)}")
    return now


def sample(found):
    return f" ({found[0]})" if found else ""
