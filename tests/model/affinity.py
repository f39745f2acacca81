# SPDX-License-Identifier: Apache-2.0
"""Affinity: which backends a client of a service may be led to, as README.md says.

A client that was seen within the idle time stays; one that certainly is not known, nor anybody
else in its slot, goes by the lookup table of today. In between, up to four times the idle time,
or where somebody else may have the client's bit, a dataplane may have it either way: it is told
what it was, and holds to it.

When a client was seen is known within bounds, for each lookup table that was in use then.
"""
from typing import NamedTuple

from model.flows import ESTABLISHED, LOOK_EVERY, NEVER, SECOND

FULL_FROM = 0.1  # of the places for entries: a newcomer's are two sets of four


class Asker(NamedTuple):
    """A client as a service knows it: by a hash, and the slot that follows from it."""

    service: int
    hash: int
    slot: int


class Client:
    """`home`: the backends where it may be; `seen`: by the place of the lookup table that was in
    use, when it was last seen, at the earliest and at the latest; `entry_until`: when it has no
    entry any more for certain."""

    __slots__ = ("home", "seen", "entry_until")

    def __init__(self):
        self.home = frozenset()
        self.seen = {}
        self.entry_until = NEVER


class Affinity:
    def __init__(self):
        self.clients = {}
        self.in_slot = {}  # by service and slot
        self.tables = {}  # by place
        self.unchanged_since = None

    def configure(self, services):
        self.unchanged_since = None
        for tables in (service.affinity for service in services if service.affinity):
            if tables.begun:
                for client in self.clients.values():
                    client.seen.pop(tables.place, None)
            self.tables.update(tables.earlier)
            self.tables[tables.place] = tables.slots

    def clock(self, now):
        if self.unchanged_since is None:
            self.unchanged_since = now

    def doubt(self, led):
        """Where the client was led cannot be told."""
        for asker, backend in led:
            if asker in self.clients:
                self.clients[asker].home |= {backend}

    def entries(self, now):
        """At most so many are in use."""
        return sum(client.entry_until >= now for client in self.clients.values())

    def options(self, asker, tables, may_stay, now):
        """The backends that the client may be led to; 0: none."""
        selected = tables.leads(tables.slots, asker)
        if not tables.is_contested(asker):
            return [selected]
        client = self.clients.get(asker)
        home = client.home if client else frozenset()
        staying = {backend for backend in home if may_stay(backend)}
        is_kept = home and self._is_kept(asker, client, tables, now)
        if is_kept and staying == home:
            return sorted(home)
        others = {tables.leads(slots, asker) for place, slots in tables.earlier
                  if self._may_be_known(asker, place, now - 4 * tables.idle)}
        options = {selected, *(backend for backend in others if may_stay(backend))}
        if client and client.entry_until >= now:
            options |= staying
        return sorted(options)

    def _may_be_known(self, asker, place, since, but=None):
        """Whether somebody in the slot may have been seen with that table, other than `but`."""
        for other in self.in_slot.get((asker.service, asker.slot), ()):
            _, latest = self.clients[other].seen.get(place, (NEVER, NEVER))
            if other != but and latest >= since:
                return True
        return False

    def _is_kept(self, asker, client, tables, now):
        """Whether it certainly stays at home: by its entry, for it was seen last when the table led
        elsewhere; or by the bit that it has in a table that leads there, if nobody may have its bit
        in another."""
        lasting = {place: earliest for place, (earliest, _) in client.seen.items()
                   if now - earliest <= tables.idle - SECOND}
        leads = {place: tables.leads(self.tables[place], asker) for place in lasting}
        if not lasting:
            return False
        if leads[max(lasting, key=lasting.get)] not in client.home:
            return True
        return any(client.home == {lead} and tables.has(place)
                   and not self._is_diverted(asker, lead, tables, now)
                   for place, lead in leads.items())

    def _is_diverted(self, asker, home, tables, now):
        return any(tables.leads(slots, asker) != home
                   and self._may_be_known(asker, place, now - 4 * tables.idle, but=asker)
                   for place, slots in tables.earlier)

    def settle(self, asker, tables, backends, now, is_sure):
        """The client was seen, and led to one of these. `is_sure`: whether that was noted now."""
        if asker not in self.clients:
            self.clients[asker] = Client()
            self.in_slot.setdefault((asker.service, asker.slot), []).append(asker)
        client = self.clients[asker]
        earliest, _ = client.seen.get(tables.place, (NEVER, NEVER))
        if is_sure:
            client.home, earliest = frozenset(backends), now
        else:
            client.home |= frozenset(backends)
        client.seen[tables.place] = earliest, now
        if tables.is_contested(asker):
            client.entry_until = now + tables.idle

    def note_flow(self, asker, tables, now):
        """It is established and goes on, so it was looked at within two seconds, and the client was
        seen then; with this table, unless that is newer."""
        client = self.clients[asker]
        earliest, latest = client.seen[tables.place]
        if now - self.unchanged_since > LOOK_EVERY:
            client.seen[tables.place] = max(earliest, now - LOOK_EVERY), latest


class AffinityWalk:
    """The part of Walk that is affinity's."""

    def select(self, service, client, port, is_seen):
        """The id of the backend that the client is led to; 0: none."""
        configuration = self.configuration
        tables = service.affinity
        if tables is None:
            return configuration.selected(service, client, port)
        asker = configuration.asker(service, client, port)
        chosen = self.choices.of(self.led_to(asker, tables))
        if is_seen and chosen:
            self.led = asker, chosen
            self.then(self.model.affinity.settle, asker, tables, (chosen,), self.now,
                      self.has_room_for_entries())
        return chosen

    def led_to(self, asker, tables):
        return self.model.affinity.options(asker, tables, self.configuration.may_stay, self.now)

    def has_room_for_entries(self):
        """Flows to shared backends have the same places."""
        in_use = self.live_shared_flows() + self.model.affinity.entries(self.now)
        return in_use < FULL_FROM * self.model.affinity_places

    def look_at_flow(self, packet, service, flow, is_sure):
        """A packet of the client's flow shows that the client is there, when it is looked at."""
        affinity, tables = self.model.affinity, service.affinity
        if tables is None or flow.state != ESTABLISHED:
            return
        asker = self.configuration.asker(service, packet.source, packet.source_port)
        options = self.led_to(asker, tables)
        if options == [0]:
            return
        is_noted = 0 not in options and self.has_room_for_entries()
        backends = [backend for backend in options if backend]
        affinity.settle(asker, tables, backends, self.now, is_sure and is_noted)
        if is_noted:
            affinity.note_flow(asker, tables, self.now)
