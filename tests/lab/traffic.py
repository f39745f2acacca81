# SPDX-License-Identifier: Apache-2.0
"""The clients: runs in the client's namespace. Prints "under way" once every client has had its
first answer, and at the end what they saw, as a line of JSON.

    traffic.py http   --requests N CLIENT...   N requests a client, each on a new connection
    traffic.py https  --requests N CLIENT...   the same by TLS
    traffic.py ws     --requests N CLIENT...   N messages a client, on one WebSocket over TLS
    traffic.py chat   --seconds S CLIENT...    the same as long as S, on --each WebSockets of each
    traffic.py udp    --requests N CLIENT...   the same by UDP, each from a new source port
    traffic.py large  CLIENT...                datagrams of 1 to 60,000 bytes
    traffic.py watch  --seconds S CLIENT...    requests on new connections as long as S
    traffic.py hold   --seconds S CLIENT...    requests on one connection as long as S
    traffic.py fetch  --rate BYTES CLIENT...   each client downloads /big once, that fast, in S

A client is the source address; its family selects the VIP. An answer is the name of the instance
that gave it, or a text that starts with "error"; watch, hold and chat wait --patience S for each.
http, https, ws, udp and large print {client: [answer, ...]}, watch, hold and chat {client: [[start,
end, answer], ...]} with times of CLOCK_MONOTONIC, fetch {client: {"instance": name, "bytes": n,
"sha256": hex} or {"error": text}}.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import socket
import sys
import time

from world import ECHO_PORT, HTTP_PORT, VIPS

PATIENCE_S = 5.0  # with one answer
LARGE_BYTES = (1, 100, 1400, 1472, 1473, 2960, 4321, 9000, 20_000, 33_333, 60_000)
AT_ONCE = 64  # clients that are busy at the same time
AT_ONCE_BY_TLS = 16  # handshakes take a while where a processor is emulated


@contextlib.asynccontextmanager
async def connected(client, kind, port):
    """A socket from the client's address to its VIP."""
    family, vip = (socket.AF_INET6, VIPS[6]) if ":" in client else (socket.AF_INET, VIPS[4])
    with socket.socket(family, kind) as stream:
        stream.setblocking(False)
        stream.bind((client, 0))
        await asyncio.get_running_loop().sock_connect(stream, (vip, port))
        yield stream


async def request(stream, path="/", connection="keep-alive"):
    """Sends a request; returns status, headers by lower-case name, and what came of the body."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(stream, (f"GET {path} HTTP/1.1\r\nHost: lab\r\n"
                                     f"Connection: {connection}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await receive(stream)
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


async def receive(stream):
    data = await asyncio.get_running_loop().sock_recv(stream, 65536)
    if not data:
        raise ConnectionError("closed early")
    return data


async def ask(stream, connection):
    """One request for `/`, its answer."""
    status, headers, body = await request(stream, connection=connection)
    while len(body) < int(headers["content-length"]):
        body += await receive(stream)
    return body.decode().strip() if status == 200 else f"error: status {status}"


async def answered(attempt, patience_s=PATIENCE_S):
    try:
        return await asyncio.wait_for(attempt, patience_s)
    except (OSError, asyncio.TimeoutError, ValueError, KeyError) as failure:
        return f"error: {type(failure).__name__} {failure}"


async def ask_once(client):
    async with connected(client, socket.SOCK_STREAM, HTTP_PORT) as stream:
        return await ask(stream, "close")


async def echo_once(client):
    payload = f"{client} {time.monotonic_ns()}".encode()
    async with connected(client, socket.SOCK_DGRAM, ECHO_PORT) as stream:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(stream, payload)
        name, _, echoed = (await loop.sock_recv(stream, 2048)).partition(b" ")
    return name.decode() if echoed == payload else "error: another payload"


async def echo_large(client, size):
    """Sent again when nothing comes: a path that is too narrow tells it after the first."""
    payload = random.Random(f"{client} {size}").randbytes(size)
    async with connected(client, socket.SOCK_DGRAM, ECHO_PORT) as stream:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            with contextlib.suppress(asyncio.TimeoutError):
                await loop.sock_sendall(stream, payload)
                said = await asyncio.wait_for(loop.sock_recv(stream, 65536), 1)
                name, _, echoed = said.partition(b" ")
                return name.decode() if echoed == payload else "error: another payload"
    return f"error: no answer to {size} bytes"


async def large(client, _):
    return [await answered(echo_large(client, size)) for size in LARGE_BYTES]


async def repeat(once, client, options):
    return [await answered(once(client)) for _ in range(options.requests)]


async def timed(attempt, patience_s):
    start = time.monotonic()
    answer = await answered(attempt, patience_s)
    return [start, time.monotonic(), answer]


async def watch(client, options):
    end = time.monotonic() + options.seconds
    seen = []
    while time.monotonic() < end:
        seen.append(await timed(ask_once(client), options.patience))
        options.arrive(client)
        await asyncio.sleep(options.pause)
    return seen


async def hold(client, options):
    start = time.monotonic()
    seen = []
    try:
        async with connected(client, socket.SOCK_STREAM, HTTP_PORT) as stream:
            while time.monotonic() < start + options.seconds:
                seen.append(await timed(ask(stream, "keep-alive"), options.patience))
                options.arrive(client)
                if seen[-1][2].startswith("error"):
                    break
                await asyncio.sleep(options.pause)
    except OSError as failure:
        seen.append([start, time.monotonic(), f"error: no connection: {failure}"])
    return seen


async def fetch(client, options):
    try:
        attempt = download(client, options)
        return await asyncio.wait_for(attempt, options.seconds)
    except (OSError, asyncio.TimeoutError, ValueError, KeyError) as failure:
        return {"error": f"{type(failure).__name__} {failure}"}


async def download(client, options):
    digest, count = hashlib.sha256(), 0
    async with connected(client, socket.SOCK_STREAM, HTTP_PORT) as stream:
        _, headers, data = await request(stream, f"/big?rate={options.rate}")
        options.arrive(client)
        while True:
            digest.update(data)
            count += len(data)
            if count >= int(headers["content-length"]):
                break
            data = await receive(stream)
    return {"instance": headers["x-instance"], "bytes": count, "sha256": digest.hexdigest()}


def by_tls():
    import tls_clients  # pylint: disable=import-outside-toplevel
    return tls_clients  # loaded for whoever asks for it: that takes a while in an emulated machine


KINDS = {
    "http": lambda client, options: repeat(ask_once, client, options),
    "https": lambda client, options: repeat(by_tls().ask, client, options),
    "ws": lambda client, options: by_tls().converse(client, options),
    "chat": lambda client, options: by_tls().chat(client, options),
    "udp": lambda client, options: repeat(echo_once, client, options),
    "large": large,
    "watch": watch,
    "hold": hold,
    "fetch": fetch,
}


async def drive(options):
    """Every client at its work: the short kinds a few at a time, the long ones all at once."""
    at_once = {"http": AT_ONCE, "udp": AT_ONCE, "large": AT_ONCE, "https": AT_ONCE_BY_TLS,
               "ws": AT_ONCE_BY_TLS}
    seats = asyncio.Semaphore(at_once.get(options.kind, len(options.clients)))
    waiting = set(options.clients)

    def arrive(client):
        if waiting:
            waiting.discard(client)
            if not waiting:
                print("under way", flush=True)

    async def work(client):
        async with seats:
            seen = await KINDS[options.kind](client, options)
        arrive(client)
        return seen

    options.arrive = arrive

    return dict(zip(options.clients, await asyncio.gather(*map(work, options.clients))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--requests", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--patience", type=float, default=PATIENCE_S)
    parser.add_argument("--rate", default="0")
    parser.add_argument("clients", nargs="+")
    json.dump(asyncio.run(drive(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
