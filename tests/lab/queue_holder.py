# SPDX-License-Identifier: Apache-2.0
"""Another program's AF_XDP socket: runs in the appliance's namespace, has receive queue 0 of an
interface for so many seconds, from when it is free, and ends.

    queue_holder.py INTERFACE SECONDS

Says "holds" when it has it.
"""

import ctypes
import errno
import mmap
import os
import sys
import time

FRAMES = 64
FRAME_BYTES = 4096
INHIBIT_PROG_LOAD = 1


class SocketConfig(ctypes.Structure):
    """struct xsk_socket_config of libxdp."""
    _fields_ = [("rx_size", ctypes.c_uint32), ("tx_size", ctypes.c_uint32),
                ("libxdp_flags", ctypes.c_uint32), ("xdp_flags", ctypes.c_uint32),
                ("bind_flags", ctypes.c_uint16)]


def ring():
    """What one of libxdp's rings has room in."""
    return ctypes.create_string_buffer(128)


def checked(code):
    if code:
        sys.exit(os.strerror(-code))


def main():
    interface, seconds = sys.argv[1].encode(), float(sys.argv[2])
    libxdp = ctypes.CDLL("libxdp.so.1")
    area = mmap.mmap(-1, FRAMES * FRAME_BYTES)
    memory = ctypes.c_void_p()
    rings = [ring() for _ in range(4)]
    checked(libxdp.xsk_umem__create(
        ctypes.byref(memory), ctypes.byref(ctypes.c_char.from_buffer(area)),
        ctypes.c_uint64(len(area)), rings[0], rings[1], None))
    config = SocketConfig(FRAMES, FRAMES, INHIBIT_PROG_LOAD, 0, 0)
    socket = ctypes.c_void_p()
    code = -errno.EBUSY
    while code == -errno.EBUSY:
        time.sleep(0.02)
        code = libxdp.xsk_socket__create(ctypes.byref(socket), interface, 0, memory, rings[2],
                                         rings[3], ctypes.byref(config))
    checked(code)
    print("holds", flush=True)
    time.sleep(seconds)


if __name__ == "__main__":
    main()
