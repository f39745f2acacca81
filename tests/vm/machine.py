# SPDX-License-Identifier: Apache-2.0
"""Boots a machine whose only disk comes back with what its init wrote to /report.

Its root file system is an initramfs (root.py). Its network cards are plugged into a hub of their
own, so nothing reaches the host.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from vm import root

DISK_BYTES = 16 << 20
BOOT_LIMIT_S = 1500

# Native XDP wants no offload that merges frames. A hub has one queue.
CARD = "virtio-net-pci,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off"


@dataclass(frozen=True)
class Hardware:
    """What a machine is made of, beside its disk."""
    cards: tuple  # as -device has them; eth0, eth1, ... in there
    board: tuple = ()
    kernel_line: str = ""
    memory_mb: int = 1024

    def arguments(self):
        """Those of qemu. The IOMMU has to come before what is behind it."""
        yield from ("-m", str(self.memory_mb), *self.board)
        for number, card in enumerate(self.cards):
            yield from ("-netdev", f"hubport,id=wire{number},hubid=0",
                        "-device", f"{card},netdev=wire{number},romfile=")


ONE_CARD = Hardware(cards=(CARD,))

# For a driver in user space: eth0 is behind an IOMMU, eth1 the other end of its cable.
BEHIND_IOMMU = Hardware(
    cards=(f"{CARD},mac=02:00:00:00:00:fe,disable-legacy=on,iommu_platform=on,ats=on",
           f"{CARD},mac=02:00:00:00:01:fe"),
    board=("-machine", "q35,kernel-irqchip=split",
           "-device", "intel-iommu,intremap=on,caching-mode=on"),
    kernel_line="intel_iommu=on iommu=pt",
    memory_mb=2048)


def boot(kernel, tree, directory, hardware=ONE_CARD):
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
             "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
             "-kernel", kernel.image, "-initrd", initramfs,
             # The timer of an emulator on a busy machine fails the kernel's test of it.
             "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {hardware.kernel_line}",
             "-drive", f"file={disk},format=raw,if=virtio", *hardware.arguments()],
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
