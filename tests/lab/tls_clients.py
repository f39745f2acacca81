# SPDX-License-Identifier: Apache-2.0
"""What traffic.py's clients do over TLS."""

import asyncio
import ssl
import time

import websockets
from traffic import PATIENCE_S, answered, timed
from world import AUTHORITY, TLS_NAME, TLS_PORT, VIPS


def trust():
    context = ssl.create_default_context(cafile=AUTHORITY)
    context.set_alpn_protocols(["http/1.1"])
    return context


TRUST = trust()


async def ask(client):
    """The instance that answers, which has to know whom it answers."""
    reader, writer = await asyncio.open_connection(
        VIPS[6 if ":" in client else 4], TLS_PORT, local_addr=(client, 0), ssl=TRUST,
        server_hostname=TLS_NAME)
    try:
        writer.write(b"GET /forwarded HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 192.0.2.66\r\n"
                     b"Connection: close\r\n\r\n")
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    if " 200 " not in head.splitlines()[0]:
        return f"error: {head.splitlines()[0]}"
    name, forwarded_for, protocol = body.split()
    is_right = (forwarded_for, protocol) == (client, "https")
    return name if is_right else f"error: forwarded for {forwarded_for} by {protocol}"


def connect(client):
    """A WebSocket of the client's."""
    return websockets.connect(f"wss://{TLS_NAME}/ws", host=VIPS[6 if ":" in client else 4],
                              port=TLS_PORT, local_addr=(client, 0), ssl=TRUST,
                              server_hostname=TLS_NAME, ping_interval=None)


async def say(connection, number):
    await connection.send(f"{number}")
    name, _, echoed = (await connection.recv()).partition(" ")
    return name if echoed == f"{number}" else "error: another message"


async def converse(client, options):
    async def all_of_it():
        async with connect(client) as connection:
            return [await say(connection, number) for number in range(options.requests)]
    try:
        seen = await answered(all_of_it(), 4 * PATIENCE_S)  # several answers
    except websockets.WebSocketException as failure:
        seen = f"error: {type(failure).__name__} {failure}"
    return seen if isinstance(seen, list) else [seen]


async def chat(client, options):
    """As many connections as --each says, which talk as long as --seconds."""
    seen = await asyncio.gather(*(chat_once(client, options) for _ in range(options.each)))
    return [answer for one in seen for answer in one]


async def chat_once(client, options):
    start = time.monotonic()
    seen = []
    try:
        async with connect(client) as connection:
            while time.monotonic() < start + options.seconds:
                seen.append(await timed(say(connection, len(seen)), options.patience))
                options.arrive(client)
                if seen[-1][2].startswith("error"):
                    break
                await asyncio.sleep(options.pause)
    except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as failure:
        seen.append([start, time.monotonic(), f"error: {type(failure).__name__} {failure}"])
    return seen
