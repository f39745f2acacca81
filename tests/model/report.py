# SPDX-License-Identifier: Apache-2.0
"""A difference, as a person reads it: the packet decoded, what was expected and what came."""
import json

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from model.flows import CLOSING, ESTABLISHED, HALF_OPEN

LONG = 200  # bytes of a frame that are shown
LINE = 100
ACTIONS = ("pass", "drop", "transmit")
TABLES = ("service", "backend", "reason of service")
STATES = {HALF_OPEN: "half-open", ESTABLISHED: "established", CLOSING: "closing"}


def decoded(frame):
    try:
        return f"{len(frame)} bytes: {Ether(frame).summary()}"
    except Exception as failure:  # scapy has not seen everything
        return f"{len(frame)} bytes that scapy does not read: {failure}"


def fields(frame):
    """The IP packet's fields, as scapy shows them."""
    try:
        packet = Ether(frame)
        packet = packet[IP] if IP in packet else packet[IPv6] if IPv6 in packet else packet
        lines = packet.show(dump=True).splitlines()
        return "\n".join(line[:LINE] for line in lines if line.strip())
    except Exception:
        return ""


def digits(frame):
    return frame.hex() if len(frame) <= LONG else f"{frame[:LONG].hex()}..."


def fate(names, one):
    """In a word, for a tally."""
    for table, field, _, _ in one.counted:
        if table == 2:
            return names["reasons"][field]
        if names["traffic"][field].startswith("packets_to"):
            return names["traffic"][field]
    return "uncounted"


def counters(names, counted):
    lists = names["traffic"], names["traffic"], names["reasons"]
    return ", ".join(f"{TABLES[table]} {number}: {lists[table][field]} +{amount}"
                     for table, field, number, amount in sorted(counted)) or "nothing"


def outcome(play, one, beside=None):
    text = [f"  {ACTIONS[one.action]}, interface {one.interface}; counted: "
            f"{counters(play.executor.names, one.counted)}"]
    if one.frame:
        text.append(f"  {decoded(one.frame)}")
    if beside is not None and one.frame and one.frame != beside.frame:
        apart = [at for at in range(max(len(one.frame), len(beside.frame)))
                 if one.frame[at:at + 1] != beside.frame[at:at + 1]]
        text.append(f"  differs in bytes {apart[:24]}")
        text.append(f"  {digits(one.frame)}")
    return "\n".join(text)


def opening(play, frame):
    return (f"difference at packet {play.packets} of the world, at {play.now_ns} ns\n"
            f"the world: {json.dumps(play.world.appliance.to_json())}\n"
            f"the packet: {decoded(frame)}\n  {digits(frame)}\n{fields(frame)}")


def difference(play, frame, expected, seen):
    text = [opening(play, frame), "seen:", outcome(play, seen, beside=expected[0])]
    for one in expected[:4]:
        text += ["expected:", outcome(play, one, beside=seen)]
    return "\n".join(text)


def disagreement(play, frame, outcomes):
    text = [opening(play, frame), "the dataplanes disagree:"]
    for name, one in zip(play.executor.dataplanes, outcomes):
        text += [f"{name}:", outcome(play, one, beside=outcomes[0])]
    return "\n".join(text)


def miscount(play, wrong):
    table, state, number, counted, least, most = wrong
    return (f"difference after packet {play.packets} of the world: {counted} {STATES[state]} flows "
            f"of {TABLES[table]} {number}, and there must be {least} to {most}\n"
            f"the world: {json.dumps(play.world.appliance.to_json())}")
