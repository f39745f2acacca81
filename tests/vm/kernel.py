# SPDX-License-Identifier: Apache-2.0
"""Debian 12's cloud kernel: downloaded once, unpacked into a cache, never installed."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

METAPACKAGE = "linux-image-cloud-amd64"
CACHE = Path.home() / ".cache" / "penstock"

# What every guest loads, in this order.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
           "virtio_blk", "failover", "net_failover", "virtio_net",
           "veth", "llc", "stp", "bridge", "garp", "mrp", "8021q", "sch_netem",
           "tunnel4", "tunnel6", "ip_tunnel", "ipip", "sit", "ip6_tunnel")
# What else is there to modprobe.
AT_HAND = ("tun", "irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core",
           "vfio-pci")


class KernelUnavailable(Exception):
    """The package cannot be had: no network, or no such package here."""


@dataclass(frozen=True)
class Kernel:
    image: Path
    release: str
    modules: list  # paths


def fetch():
    CACHE.mkdir(parents=True, exist_ok=True)
    unpacked = CACHE / package_name()
    if not unpacked.exists():
        download(unpacked)
    found = {path.stem: path for path in unpacked.glob("lib/modules/**/*.ko")}
    image = next(unpacked.glob("boot/vmlinuz-*"))
    return Kernel(image, image.name.removeprefix("vmlinuz-"),
                  [found[name] for name in MODULES + AT_HAND])


def package_name():
    """The package of the current kernel version, which the metapackage depends on."""
    for command in (["true"], ["apt-get", "-q", "update"]):  # a new machine has no lists yet
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        listed = subprocess.run(["apt-cache", "depends", "--important", METAPACKAGE],
                                capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            if line.strip().startswith("Depends: linux-image-"):
                return line.split()[-1]
    raise KernelUnavailable(f"apt knows no {METAPACKAGE}")


def download(target):
    """Appears under its final name only when it is whole."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        directory = Path(name)
        for command in (["apt-get", "download", target.name],
                        ["apt-get", "-q", "update"],  # the version we know of may be gone
                        ["apt-get", "download", target.name]):
            subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
                           check=False)
            if packages := list(directory.glob("*.deb")):
                break
        else:
            raise KernelUnavailable(f"apt-get cannot download {target.name}")
        tree = directory / "tree"
        subprocess.run(["dpkg-deb", "-x", packages[0], tree], check=True)
        tree.rename(target)
