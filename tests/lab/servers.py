# SPDX-License-Identifier: Apache-2.0
"""The instances on the hosts: for each one nginx (its own process tree) and a UDP echo server.

nginx answers `/` with the instance's name, `/client` with who asks, `/forwarded` with the name,
whom it is forwarded for and by which protocol, `/healthz` with 200, and `/big?rate=500k` with a
download of 10 MB at that many bytes a second. In a world with TLS `/ws` is a WebSocket that answers
each message with the name, a space and what it got; it outlives the instance.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import netns, world
from .netns import LabError

BIG_FILE = world.RUN / "www" / "big"
BIG_FILE_BYTES = 10 * 1024 * 1024
ECHO_SERVER = Path(__file__).with_name("echo_server.py")
WEBSOCKET_SERVER = Path(__file__).with_name("websocket_server.py")

NGINX_CONFIG = """
user www-data;
worker_processes 1;
pid {run}/{name}.nginx.pid;
error_log {run}/{name}.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  {temporary_paths}
  server {{
    {listens}
    default_type text/plain;
    add_header X-Instance {name} always;
    location = / {{ return 200 "{name}\\n"; }}
    location = /client {{ return 200 "$remote_addr\n"; }}
    location = /forwarded {{
      return 200 "{name} $http_x_forwarded_for $http_x_forwarded_proto\n";
    }}
    location = /ws {{
      proxy_pass http://unix:{run}/{name}.ws;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h;
    }}
    location = /healthz {{ return 200 "ok\\n"; }}
    location = /big {{ alias {big_file}; limit_rate $arg_rate; }}
  }}
}}
"""


def prepare():
    """Writes what the instances serve."""
    BIG_FILE.parent.mkdir()
    BIG_FILE.write_bytes(big_content())


def big_content():
    """What `/big` is, the same every time."""
    return random.Random(1).randbytes(BIG_FILE_BYTES)


def start(instances):
    for instance in instances:
        start_echo(instance)
        start_nginx(instance)
        if world.current().has_tls:
            start_websocket(instance)
    for instance in instances:
        wait_for(pid_file(instance, "echo"))


def start_nginx(instance):
    listens = " ".join(f"listen {world.endpoint(address, instance.http_port)} backlog=4096;"
                       for address in instance.addresses)
    temporary_paths = " ".join(f"{kind}_temp_path {world.RUN}/tmp;" for kind in
                               ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = world.RUN / f"{instance.name}.nginx.conf"
    config.write_text(NGINX_CONFIG.format(
        run=world.RUN, name=instance.name, listens=listens, temporary_paths=temporary_paths,
        big_file=BIG_FILE))
    # It returns once it listens.
    netns.run(instance.node, "nginx", "-e", world.RUN / f"{instance.name}.log", "-c", config,
              start_new_session=True, stdin=subprocess.DEVNULL)


def start_echo(instance):
    command = [sys.executable, ECHO_SERVER, instance.name, instance.echo_port,
               pid_file(instance, "echo"), *instance.addresses]
    with open(world.RUN / f"{instance.name}.echo.log", "wb") as log:
        subprocess.Popen(netns.in_namespace(instance.node, command), start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def start_websocket(instance):
    path = world.RUN / f"{instance.name}.ws"
    if path.exists():
        return
    command = [sys.executable, WEBSOCKET_SERVER, instance.name, path]
    with open(world.RUN / f"{instance.name}.ws.log", "wb") as log:
        subprocess.Popen(netns.in_namespace(instance.node, command), start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def kill(instance):
    """Ends an instance as a crash would: no connection is closed in order."""
    for kind in ("nginx", "echo"):
        leader = running_pid(instance, kind)
        if leader:
            os.killpg(leader, signal.SIGKILL)
            wait_gone(instance, leader)
        pid_file(instance, kind).unlink(missing_ok=True)


def is_up(instance):
    return all(running_pid(instance, kind) for kind in ("nginx", "echo"))


def running_pid(instance, kind):
    """The process that the instance's pid file names, if it still runs on the instance's node."""
    try:
        pid = int(pid_file(instance, kind).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid in netns.pids(instance.node) else None


def pid_file(instance, kind):
    return world.RUN / f"{instance.name}.{kind}.pid"


def wait_for(path, patience_s=60.0):
    deadline = time.monotonic() + patience_s
    while not path.exists() or not path.read_text().strip():
        if time.monotonic() > deadline:
            raise LabError(f"{path.stem} did not start: {path.with_suffix('.log').read_text()}")
        time.sleep(0.005)


def wait_gone(instance, leader, patience_s=5.0):
    deadline = time.monotonic() + patience_s
    while any(process_group(pid) == leader for pid in netns.pids(instance.node)):
        if time.monotonic() > deadline:
            raise LabError(f"{instance.name} does not end")
        time.sleep(0.002)


def process_group(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
