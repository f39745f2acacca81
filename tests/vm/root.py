# SPDX-License-Identifier: Apache-2.0
"""The guest's root file system: an initramfs out of parts of this machine's.

busybox and the kernel modules; what the guest is for, as /job; the programs under test, stripped;
the files of Debian packages that are installed here; and of this repository what the lab is made
of, below /penstock. Every program brings the libraries that it names.
"""

import os
import shutil
import subprocess
from pathlib import Path

from lab import world
from vm.kernel import MODULES

HERE = Path(__file__).parent
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr, as Debian has them
DIRECTORIES = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "dev", "proc", "sys", "run", "tmp",
               "report", "etc", "var")
LEFT_OUT = ("/usr/share/", "/etc/", "/lib/systemd/", "/var/")

# What the lab's tests run, and what that needs of others.
LAB_PACKAGES = ("python3-minimal", "python3.11-minimal", "libpython3.11-minimal",
                "libpython3.11-stdlib", "python3-pytest", "python3-attr", "python3-iniconfig",
                "python3-packaging", "python3-pluggy", "python3-py", "dash", "coreutils", "grep",
                "iproute2", "ethtool",
                "nginx-light", "nginx", "curl", "iputils-ping", "procps", "util-linux", "mount",
                "haproxy", "openssl", "python3-websockets")

# What nginx and HAProxy change their user to, and python looks up.
ACCOUNTS = {"passwd": "root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/false\n"
                      "haproxy:x:105:105::/:/bin/false\n",
            "group": "root:x:0:\nwww-data:x:33:\nhaproxy:x:105:\n"}


# What DPDK loads by itself, all there is: few, since each takes its time.
DPDK_PLUGINS = Path("/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0")
DPDK_DRIVERS = ("bus_pci", "mempool_ring", "net_virtio")


def fill(root, kernel, programs, job):
    """What every guest has; `programs` go to /bin, init runs `job`, the text of a script."""
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    for name in MERGED:
        (root / name).symlink_to(f"usr/{name}")
    (root / "var" / "run").symlink_to("/run")
    for name, text in ACCOUNTS.items():
        (root / "etc" / name).write_text(text, encoding="ascii")
    for tool in ("/bin/busybox", world.ROOT / "configs" / "bind-vfio"):
        shutil.copy(tool, root / "bin")
    shutil.copy(HERE / "init", root)
    (root / "job").write_text(job, encoding="ascii")
    (root / "job").chmod(0o755)
    add_modules(root, kernel)
    for program in programs:
        subprocess.run(["strip", "-o", root / "bin" / program.name, program], check=True)
    add_libraries(root, programs)


def add_modules(root, kernel):
    """Those to load at boot are named in /etc/modules."""
    home = root / "lib" / "modules" / kernel.release
    home.mkdir(parents=True)
    for module in kernel.modules:
        shutil.copy(module, home)
    subprocess.run(["busybox", "depmod", "-b", root, kernel.release], check=True)
    (root / "etc" / "modules").write_text("\n".join(MODULES) + "\n", encoding="ascii")


def add_dpdk(root):
    """What programs that use DPDK load without naming it."""
    plugins = [DPDK_PLUGINS / f"librte_{driver}.so.23" for driver in DPDK_DRIVERS]
    for plugin in plugins:
        add_with_links(root, plugin)
    add_libraries(root, plugins)


def add_lab(root):
    """The lab and its tests, at /penstock; its `penstock` is the one in /bin."""
    add_packages(root, LAB_PACKAGES)
    home = root / "penstock"
    shutil.copytree(world.ROOT / "tests" / "lab", home / "tests" / "lab")
    (home / "configs").mkdir()
    for config in {each.config for each in world.ALL.values()}:
        shutil.copy(config, home / config.relative_to(world.ROOT))
    for built in (world.PENSTOCK, world.PASS_PROGRAM):
        (home / built.relative_to(world.ROOT)).parent.mkdir(parents=True)
    shutil.copy(world.PASS_PROGRAM, home / world.PASS_PROGRAM.relative_to(world.ROOT))
    (home / world.PENSTOCK.relative_to(world.ROOT)).symlink_to("/bin/penstock")


def add_packages(root, names):
    listed = subprocess.run(["dpkg", "-L", *names], capture_output=True, text=True, check=True)
    paths = {Path(line) for line in listed.stdout.splitlines()
             if line.startswith("/") and not line.startswith(LEFT_OUT)}
    # Compiling python's library anew takes a minute there.
    paths |= {compiled for path in paths if path.suffix == ".py"
              for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")}
    files = [path for path in sorted(paths) if path.is_file()]
    for path in files:
        add(root, path)
    add_libraries(root, [path for path in files if is_elf(path)])


def add(root, path):
    """Keeps times, by which python knows what is compiled of what."""
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):
        shutil.copy2(path, target, follow_symlinks=False)


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def add_libraries(root, programs):
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = {word for line in listed.splitlines() for word in line.split()
             if word.startswith("/") and not word.endswith(":")}
    for library in words:
        add_with_links(root, Path(library))


def add_with_links(root, path):
    """A file under two names stays one: DPDK would load a driver's copy as another driver."""
    add(root, path)
    while path.is_symlink():
        path = path.parent / path.readlink()
        add(root, path)


def pack(root, target):
    # "." for the root's own mode: DPDK loads nothing from below a directory that anybody can write.
    names = "\n".join([".", *(str(path.relative_to(root)) for path in sorted(root.rglob("*")))])
    with open(target, "wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names.encode(),
                       stdout=out, check=True)
