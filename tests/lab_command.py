# SPDX-License-Identifier: Apache-2.0
"""The lab: the appliance, its hosts and its clients in network namespaces of this machine.

Without a command it installs and builds what is missing, shows the main job on real traffic and
prints what it saw. tests/lab/README.md has the walk through it.
"""

import argparse
import os
import signal
import sys

from lab import commands, world
from lab.netns import LabError


def parse():
    parser = argparse.ArgumentParser(prog="./lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND")
    up = verbs.add_parser("up", help="bring the world up and leave it up")
    up.add_argument("--mode", choices=(*world.WORLDS, *world.WITH_TLS), default="nat",
                    help="how packets reach the instances: nat (default), dnat, dsr or tunnel; tls "
                         "is nat with TLS in front")
    up.add_argument("--driver", choices=("xdp", "dpdk"), default=world.DRIVER,
                    help="what forwards: the kernel's XDP (default) or penstock-dpdk")
    up.add_argument("--no-servers", action="store_true", help="bring your own instances")
    verbs.add_parser("down", help="remove everything, after a crash too")
    verbs.add_parser("status", help="what is up, and what the appliance says")
    run = verbs.add_parser("exec", help="run a command in a node: `penstock` is on its PATH")
    run.add_argument("node", choices=(*world.NODE_NAMES, world.SIDECAR))
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    shell = verbs.add_parser("shell", help="a shell in a node")
    shell.add_argument("node", choices=world.NODE_NAMES)
    return parser.parse_args()


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    match options.verb:
        case "up" if options.driver != world.DRIVER:
            os.environ[world.DRIVER_VARIABLE] = options.driver
            os.execv(sys.executable, [sys.executable, "-B", *sys.argv])
        case "up":
            return commands.up(options.mode, with_servers=not options.no_servers)
        case "down":
            return commands.down()
        case "status":
            return commands.status()
        case "exec":
            return commands.execute(options.node, options.command)
        case "shell":
            return commands.execute(options.node, ["bash", "--norc", "-i"], prompt=True)
        case _:
            return commands.show_main_job()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as failure:
        sys.exit(f"lab: {failure}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
