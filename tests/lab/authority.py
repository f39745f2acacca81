# SPDX-License-Identifier: Apache-2.0
"""The lab's certificate authority, by openssl(1): what the appliance serves, and what is wrong with
certificates that it refuses."""

import os
import shutil

from . import netns, world

NAMES = ",".join([f"DNS:{world.TLS_NAME}", *(f"IP:{vip}" for vip in world.VIPS.values())])
CONFIG = world.TLS / "openssl.cnf"
KEYS = {"rsa": ("-newkey", "rsa:2048"),
        "ecdsa": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")}


def prepare():
    """Makes the authority, and the pair that configs/lab-tls.toml names."""
    world.TLS.mkdir()
    CONFIG.write_text("[req]\ndistinguished_name = name\n[name]\n", encoding="ascii")
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
    text = "".join(part.read_text(encoding="ascii") for part in
                   (world.TLS / "certificate", world.AUTHORITY, world.TLS / "key"))
    beside = world.TLS / f"{file}.new"
    beside.write_text(text, encoding="ascii")
    shutil.move(beside, world.TLS / file)  # as a renewal does: at once
    return serial_of(world.TLS / "certificate")


def staple(file):
    """The authority's word that the certificate is good, beside it."""
    serial = serial_of(world.TLS / file)
    index = world.TLS / "index"
    index.write_text(f"V\t991231235959Z\t\t{serial}\tunknown\t/CN={world.TLS_NAME}\n",
                     encoding="ascii")
    openssl("ocsp", "-index", index, "-rsigner", world.AUTHORITY, "-rkey",
            world.TLS / "authority.key", "-CA", world.AUTHORITY, "-issuer", world.AUTHORITY,
            "-cert", world.TLS / file, "-ndays", "7", "-respout", world.TLS / f"{file}.ocsp")


def serial_of(file):
    return openssl("x509", "-in", file, "-noout", "-serial").stdout.strip().partition("=")[2]


def openssl(*words):
    """By a configuration of its own: the machine's may say anything, or not be there."""
    return netns.checked(["openssl", *words], env={**os.environ, "OPENSSL_CONF": str(CONFIG)})
