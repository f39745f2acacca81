# SPDX-License-Identifier: Apache-2.0
"""Boots a machine whose only disk comes back with what its init wrote to /report.

The initramfs holds busybox, the programs under test with the libraries that they name, and the
kernel modules. The one network card is plugged into a hub of its own, so nothing reaches the host.
"""

import shutil
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
DISK_BYTES = 16 << 20
BOOT_LIMIT_S = 400

# The timer of an emulator on a busy machine fails the kernel's test of it: no_timer_check.
# Native XDP wants no offload that merges frames. A hub has one queue.
CARD = ("virtio-net-pci,netdev=wire,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,"
        "guest_csum=off,romfile=")


def boot(kernel, programs, files, directory):
    """Runs init to its end; the report's files by name. `programs` are stripped on their way in."""
    root = directory / "root"
    fill(root, kernel, programs, files)
    initramfs = directory / "initramfs"
    pack(root, initramfs)
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


def fill(root, kernel, programs, files):
    for name in ("bin", "dev", "proc", "sys", "run", "tmp", "report", "modules", "lib64"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    shutil.copy(HERE / "init", root)
    for place, module in enumerate(kernel.modules):
        shutil.copy(module, root / "modules" / f"{place:02}-{module.name}")
    for program in programs:
        subprocess.run(["strip", "-o", root / "bin" / program.name, program], check=True)
        for library in libraries_of(program):
            target = root / library.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    for file in files:
        shutil.copy(file, root)


def libraries_of(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    words = (word for line in listed.splitlines() for word in line.split())
    return sorted({Path(word) for word in words if word.startswith("/")})


def pack(root, target):
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with open(target, "wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names.encode(),
                       stdout=out, check=True)


def read_report(disk, console):
    """A machine that died before it reported leaves an empty disk: then its console says more."""
    try:
        with tarfile.open(disk) as archive:
            return {Path(member.name).name: archive.extractfile(member).read().decode()
                    for member in archive if member.isfile()}
    except tarfile.ReadError:
        raise RuntimeError("the machine wrote no report; its console:\n" +
                           console.read_text(errors="replace")[-4000:]) from None
