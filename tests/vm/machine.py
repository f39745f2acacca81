# SPDX-License-Identifier: Apache-2.0
"""Boots a machine whose only disk comes back with what its init wrote to /report.

Its root file system is an initramfs (root.py). The one network card is plugged into a hub of its
own, so nothing reaches the host.
"""

import subprocess
import tarfile
from pathlib import Path

from vm import root

DISK_BYTES = 16 << 20
BOOT_LIMIT_S = 800

# The timer of an emulator on a busy machine fails the kernel's test of it: no_timer_check.
# Native XDP wants no offload that merges frames. A hub has one queue.
CARD = ("virtio-net-pci,netdev=wire,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,"
        "guest_csum=off,romfile=")


def boot(kernel, tree, directory):
    """Runs the init of a root file system to its end; the report's files by name."""
    initramfs = directory / "initramfs"
    root.pack(tree, initramfs)
    disk = directory / "report.tar"
    with open(disk, "wb") as blank:
        blank.truncate(DISK_BYTES)
    console = directory / "console"
    with open(console, "wb") as out:
        subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
             "-m", "1024", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
             "-kernel", kernel.image, "-initrd", initramfs,
             "-append", "console=ttyS0 quiet panic=-1 no_timer_check",
             "-drive", f"file={disk},format=raw,if=virtio",
             "-netdev", "hubport,id=wire,hubid=0", "-device", CARD],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=BOOT_LIMIT_S, check=True)
    return read_report(disk, console)


def read_report(disk, console):
    """A machine that died before it reported leaves an empty disk: then its console says more."""
    try:
        with tarfile.open(disk) as archive:
            return {Path(member.name).name: archive.extractfile(member).read().decode()
                    for member in archive if member.isfile()}
    except tarfile.ReadError:
        raise RuntimeError("the machine wrote no report; its console:\n" +
                           console.read_text(errors="replace")[-4000:]) from None
