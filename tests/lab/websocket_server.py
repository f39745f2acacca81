# SPDX-License-Identifier: Apache-2.0
"""Echo by WebSockets: answers each message with NAME, a space and what it got.

    websocket_server.py NAME PATH

PATH is the socket that nginx hands connections on to.
"""

import asyncio
import contextlib
import os
import resource
import sys

import websockets


async def serve(name, path):
    async def answer(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(f"{name} {message}")

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    async with websockets.unix_serve(answer, path, ping_interval=None):
        os.chmod(path, 0o666)
        await asyncio.Future()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(*sys.argv[1:]))
