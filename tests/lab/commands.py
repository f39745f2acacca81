# SPDX-License-Identifier: Apache-2.0
"""What each `./lab` command does; each returns an exit status."""

import os
import signal
import sys
import time

from . import appliance, lifecycle, main_job, netns, packages, servers, world
from .netns import LabError

HINTS = """
The lab stays up until Ctrl-C. In another terminal:
  ./lab exec client curl -s --interface 198.18.0.7 http://203.0.113.10/
  ./lab exec client curl -s -g --interface 2001:db8:18::7 http://[2001:db8:113::10]/
  ./lab exec appliance penstock status
  ./lab exec appliance penstock explain 198.18.0.7 web
  ./lab exec appliance penstock drain web h1-a
  ./lab shell host1"""


def show_main_job():
    with lifecycle.locked():
        started = time.monotonic()
        prepare()
        with lifecycle.world_up():
            print(f"  world    {describe_world()}, after {time.monotonic() - started:.1f} s")
            report = main_job.run()
            report.print()
            print(f"\n{conclusion(report)} {time.monotonic() - started:.1f} s in all.", flush=True)
            if sys.stdout.isatty():
                print(HINTS, flush=True)
                wait_for_interrupt()
    return 1 if report.unseen() else 0


def conclusion(report):
    unseen = report.unseen()
    if unseen:
        return "Not seen: " + "; ".join(unseen) + "."
    return f"All {len(report.claims)} claims were seen."


def wait_for_interrupt():
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nThe lab comes down.")


def up(mode, with_servers):
    with lifecycle.locked():
        prepare()
        lifecycle.up(mode, with_servers)
    print("The lab is up: `./lab status` shows it, `./lab down` removes it.")
    return 0


def down():
    with lifecycle.locked():
        lifecycle.down()
    return 0


def prepare():
    """Installs and builds what is missing."""
    names = packages.missing()
    if names:
        print(f"  machine  installs {len(names)} Debian packages: {' '.join(names)}", flush=True)
        packages.install(names)
    print(f"  build    {world.BUILD}", flush=True)
    packages.build()


def describe_world():
    modes = ", ".join(f"{interface['name']} {interface['attach_mode']}"
                      for interface in appliance.status()["dataplane"]["interfaces"])
    return f"nodes {' '.join(netns.existing())}; {world.DRIVER} on {modes}"


def status():
    there = netns.existing()
    if not there:
        print("The lab is down.")
        return 1
    for node in world.current().nodes:
        if node.name in there:
            shown = ", ".join(node.addresses[:1] + node.addresses[-1:])
            print(f"{node.name:<10} {len(node.addresses):>3} addresses: {shown}")
    for instance in world.current().instances + (world.FIFTH_INSTANCE,):
        if servers.is_up(instance):
            print(f"{instance.name:<10} on {instance.node}, "
                  f"HTTP port {instance.http_port}, echo port {instance.echo_port}")
    said = appliance.penstock("status", check=False)
    print((said.stdout or said.stderr).rstrip())
    return 0


def execute(node, command, prompt=False):
    """Becomes the command; returns only by an error."""
    if not command:
        raise LabError("exec needs a command: ./lab exec client curl http://203.0.113.10/")
    if node not in netns.existing():
        raise LabError("the lab is down: `./lab up` brings it up")
    environment = appliance.environment()
    if prompt:
        environment["PS1"] = f"{node}# "
    command = netns.in_namespace(node, command)
    os.execvpe(command[0], command, environment)
