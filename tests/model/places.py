# SPDX-License-Identifier: Apache-2.0
"""Where the lookup tables of services with affinity stand, as controlplane/plan/README.md says:
earlier ones are kept while there is room, and a table that is dealt again is gone back to."""
from dataclasses import replace

from builder import Affinity
from model.executor import AFFINITY_TABLES

TABLES_OF_A_SERVICE = 3
SERVICES = AFFINITY_TABLES // TABLES_OF_A_SERVICE


class Places:
    """`first`: each service's first place."""

    def __init__(self, random, services):
        self.random = random
        ids = [service.id for service in services if service.affinity]
        self.first = {number: count * TABLES_OF_A_SERVICE for count, number in enumerate(ids)}
        self.known = set()  # services that there were once

    def put(self, before, after):
        """The configuration `after` with its tables in their places."""
        had = {service.id: service for service in before.services}
        return replace(after, services=tuple(
            replace(service, affinity=self._affinity(had.get(service.id), service))
            if service.affinity else service for service in after.services))

    def _affinity(self, before, service):
        idle_s = service.affinity.idle_s
        if before is None:
            # Clients may have entries from then, in any slot.
            contested = range(len(service.slots)) if service.id in self.known else ()
            self.known.add(service.id)
            return Affinity(idle_s, self.first[service.id], contested=tuple(contested), begun=True)
        if before.slots == service.slots:
            return replace(before.affinity, begun=False)
        return self._next(before, service)

    def _next(self, before, service):
        was = before.affinity
        earlier = [*was.earlier, (was.place, before.slots)]
        begun = service.slots not in (slots for _, slots in earlier)
        if begun:
            if len(earlier) == TABLES_OF_A_SERVICE:
                earlier.remove(self.random.choice(earlier[:-1]))
            taken = {place for place, _ in earlier}
            first = self.first[service.id]
            place = next(n for n in range(first, first + TABLES_OF_A_SERVICE) if n not in taken)
        else:
            place, slots = next(table for table in earlier if table[1] == service.slots)
            earlier.remove((place, slots))
        contested = set(was.contested)
        for _, slots in earlier:
            contested |= {n for n, backend in enumerate(slots) if backend != service.slots[n]}
        return Affinity(was.idle_s, place, tuple(earlier), tuple(sorted(contested)), begun)
