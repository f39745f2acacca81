# SPDX-License-Identifier: Apache-2.0
"""UDP echo: answers each datagram with NAME, a space and what it got.

    echo_server.py NAME PORT PID_FILE ADDRESS...

Writes its process id to PID_FILE once every address is bound.
"""

import os
import select
import socket
import sys


SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
ROOM_BYTES = 16 << 20


def bind(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    # What all clients send at once has room while others have the processor.
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)
    server.bind((address, port))
    return server


def main(name, port, pid_file, *addresses):
    servers = [bind(address, int(port)) for address in addresses]
    with open(pid_file, "w", encoding="ascii") as out:
        out.write(f"{os.getpid()}\n")
    while True:
        for server in select.select(servers, [], [])[0]:
            payload, client = server.recvfrom(65536)
            server.sendto(name.encode() + b" " + payload, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
