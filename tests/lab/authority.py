# SPDX-License-Identifier: Apache-2.0
"""The lab's certificate authority, by openssl(1): what the appliance serves, and what is wrong with
certificates that it refuses."""

import shutil

from . import netns, world

NAMES = ",".join([f"DNS:{world.TLS_NAME}", *(f"IP:{vip}" for vip in world.VIPS.values())])
KEYS = {"rsa": ("-newkey", "rsa:2048"),
        "ecdsa": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")}


def prepare():
    """Makes the authority, and the pair that configs/lab-tls.toml names."""
    world.TLS.mkdir()
    openssl("req", "-x509", *KEYS["ecdsa"], "-nodes", "-keyout", world.TLS / "authority.key",
            "-out", world.AUTHORITY, "-days", "30", "-subj", "/CN=penstock lab",
            "-addext", "keyUsage=critical,keyCertSign")
    for kind in KEYS:
        make(f"lab.pem.{kind}", kind)


def make(file, kind="ecdsa", names=NAMES, days=60):
    """A certificate of the authority's with its key; `days` below zero: it has expired. Returns its
    serial number."""
    request = world.TLS / "request"
    openssl("req", *KEYS[kind], "-nodes", "-keyout", world.TLS / "key", "-out", request,
            "-subj", f"/CN={world.TLS_NAME}")
    extensions = world.TLS / "extensions"
    extensions.write_text(f"subjectAltName={names}\n", encoding="ascii")
    openssl("x509", "-req", "-in", request, "-CA", world.AUTHORITY,
            "-CAkey", world.TLS / "authority.key", "-CAcreateserial", "-days", days,
            "-extfile", extensions, "-out", world.TLS / "certificate")
    text = (world.TLS / "certificate").read_text() + (world.TLS / "key").read_text()
    beside = world.TLS / f"{file}.new"
    beside.write_text(text, encoding="ascii")
    shutil.move(beside, world.TLS / file)  # as a renewal does: at once
    return serial_of(world.TLS / "certificate")


def serial_of(file):
    return openssl("x509", "-in", file, "-noout", "-serial").stdout.strip().partition("=")[2]


def openssl(*words):
    return netns.checked(["openssl", *words])
