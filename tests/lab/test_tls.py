# SPDX-License-Identifier: Apache-2.0
"""TLS in front: the sidecar's clients meet the instances that plain clients meet, and it goes on
through whatever is changed."""

import json
import os
import signal
import subprocess
import time

import pytest

from . import appliance, authority, clients, lifecycle, load, netns, servers, world

HUNDRED = world.CLIENTS[4][:100] + world.CLIENTS[6][:100]
CHATTING = world.CLIENTS[4][:25] + world.CLIENTS[6][:25]
LAB_PEM = world.TLS / "lab.pem"

pytestmark = pytest.mark.usefixtures("tls")


@pytest.fixture(scope="module", name="standing")
def standing_fixture(machine):
    with lifecycle.standing("tls"):
        yield


@pytest.fixture(name="tls")
def tls_fixture(standing):
    """The lab as configs/lab-tls.toml has it, with its own certificates."""
    for kind in authority.KEYS:
        if not (world.TLS / f"lab.pem.{kind}").exists():
            authority.make(f"lab.pem.{kind}", kind)
    LAB_PEM.unlink(missing_ok=True)
    for answer in world.TLS.glob("*.ocsp"):
        answer.unlink()
    daemon = None if appliance.status() else appliance.start(world.TLS_CONFIG)
    appliance.wait_answering(daemon)
    appliance.penstock("apply", world.TLS_CONFIG, "--discard-changes")
    appliance.wait_all_up(daemon)
    wait_sidecar(lambda sidecar: sidecar["state"] == "up" and not sidecar["problem"])


@pytest.fixture(name="variant")
def variant_fixture(tmp_path):
    """Makes a configuration file out of the lab's by replacing texts in it."""
    def make(*replacements):
        text = world.TLS_CONFIG.read_text(encoding="utf-8")
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "variant.toml"
        path.write_text(text, encoding="utf-8")
        return path
    return make


def sidecar_status():
    return appliance.status()["sidecar"]


def tls_status(name):
    return next(service["tls"] for service in appliance.status()["services"]
                if service["name"] == name)


def wait_sidecar(reached, patience_s=20.0):
    said = appliance.wait_until(lambda status: reached(status["sidecar"]), "the sidecar",
                                patience_s=patience_s)
    return said["sidecar"]


def curl(*words, family=4, client=None, check=True):
    """What a client's curl prints; it trusts the lab's authority."""
    vip = world.VIPS[family] if family == 4 else f"[{world.VIPS[family]}]"
    ports = [word for port in (80, 443, 8443)
             for word in ("--resolve", f"{world.TLS_NAME}:{port}:{vip}")]
    done = netns.run("client", "curl", "-sS", "-m", "5", "--cacert", world.AUTHORITY, *ports,
                     "--interface", client or world.CLIENTS[family][6], *words, check=check)
    return done.stdout if check else done


def url(path="/", scheme="https"):
    return f"{scheme}://{world.TLS_NAME}{path}"


def handshake(*words, vip=world.VIPS[4]):
    """openssl s_client's output of one; None when it failed."""
    name = () if "-servername" in words else ("-servername", world.TLS_NAME)
    done = netns.run("client", "openssl", "s_client", "-connect", f"{vip}:{world.TLS_PORT}",
                     *name, "-CAfile", world.AUTHORITY, "-verify_return_error", *words,
                     check=False, input="")
    return done.stdout if done.returncode == 0 else None


def served_serial(*words):
    (world.TLS / "served").write_text(handshake(*words), encoding="ascii")
    return authority.serial_of(world.TLS / "served")


def haproxy_pids():
    return [pid for pid in netns.pids(world.SIDECAR)
            if "haproxy" in open(f"/proc/{pid}/comm", encoding="ascii").read()]


def test_each_client_meets_one_instance_by_http_https_and_websockets():
    seen = {kind: clients.send(kind, HUNDRED, requests=3) for kind in ("http", "https", "ws")}
    for kind, answers in seen.items():
        assert not clients.errors(answers), kind
        assert not clients.wanderers(answers), kind
    homes = {kind: clients.homes(answers) for kind, answers in seen.items()}
    assert homes["http"] == homes["https"] == homes["ws"]
    assert set(homes["http"].values()) == {instance.name for instance in world.INSTANCES}


def test_explain_says_where_a_client_goes_by_tls():
    for client in world.CLIENTS[4][:8]:
        home = clients.homes(clients.send("https", [client]))[client]
        said = json.loads(appliance.penstock("explain", client, "web", "--json").stdout)
        assert said["backend_by_tls"] == said["backend"] == home


@pytest.mark.parametrize("family", (4, 6))
def test_http2_is_spoken_and_backends_hear_of_the_client(family):
    said = curl("--http2", "-H", "X-Forwarded-For: 192.0.2.66", "-w", "%{http_version}",
                url("/forwarded"), family=family)
    body, version = said.splitlines()
    assert version == "2"
    assert body.split()[1:] == [world.CLIENTS[family][6], "https"]


def test_a_download_arrives_whole():
    done = netns.run("client", "sh", "-c",
                     f"curl -sS --cacert {world.AUTHORITY} --resolve "
                     f"{world.TLS_NAME}:443:{world.VIPS[4]} {url('/big')} | sha256sum; "
                     f"sha256sum < {servers.BIG_FILE}")
    arrived, sent = done.stdout.splitlines()
    assert arrived == sent


@pytest.mark.parametrize("version", ("-tls1", "-tls1_1"))
def test_old_versions_are_refused(version):
    assert handshake(version, "-cipher", "ALL:@SECLEVEL=0") is None


@pytest.mark.parametrize("cipher", (
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"))
def test_the_profiles_ciphers_are_spoken_with_the_key_that_they_need(cipher):
    said = handshake("-tls1_2", "-cipher", cipher)
    assert f"Cipher is {cipher}" in said
    assert f"Server public key is {256 if 'ECDSA' in cipher else 2048} bit" in said


@pytest.mark.parametrize("cipher", ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA",
                                    "DHE-RSA-AES128-GCM-SHA256"))
def test_other_ciphers_are_refused(cipher):
    assert handshake("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0") is None


def test_each_name_gets_its_certificate_and_others_the_first(variant):
    first, second = authority.make("first.pem"), authority.make("second.pem",
                                                                names="DNS:*.other.example")
    appliance.penstock("apply", variant(
        (f'"{LAB_PEM}"', f'"{world.TLS}/first.pem", "{world.TLS}/second.pem"')))
    for name, serial in ((world.TLS_NAME, first), ("www.other.example", second),
                         ("stranger.example", first)):
        assert served_serial("-servername", name) == serial, name


def test_status_tells_versions_connections_and_what_failed():
    before = tls_status("web")
    versions = sidecar_status()["versions"]
    assert handshake("-tls1_2") and handshake("-tls1_3")
    assert handshake("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0") is None
    after = tls_status("web")
    assert after["connections_total"] >= before["connections_total"] + 2
    assert after["failed_handshakes"] > before["failed_handshakes"]
    for version in ("TLSv1.2", "TLSv1.3"):
        assert sidecar_status()["versions"][version] == versions.get(version, 0) + 1
    table = appliance.penstock("status").stdout
    assert "TLS: haproxy up" in table and "by TLS at 203.0.113.10:443" in table


def test_haproxy_is_nobody_special():
    for pid in haproxy_pids():
        status = dict(line.split(":\t", 1) for line in
                      open(f"/proc/{pid}/status", encoding="ascii").read().splitlines()
                      if ":\t" in line)
        assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
        # CAP_NET_BIND_SERVICE and CAP_NET_RAW
        assert {int(status[which], 16) for which in ("CapEff", "CapPrm", "CapBnd")} == {
            1 << 10 | 1 << 13}
        assert status["NoNewPrivs"] == "1"


def test_a_session_is_resumed_after_a_reload(variant, tmp_path):
    session = tmp_path / "session"
    handshake("-tls1_2", "-sess_out", session)
    appliance.penstock("apply", variant(("[service.tls]\n", '[service.tls]\nhsts = "1h"\n')))
    assert "Reused, TLSv1.2" in handshake("-tls1_2", "-sess_in", session)


def test_a_clients_own_flow_and_the_sidecars_from_the_same_port_stay_apart():
    client, port = world.CLIENTS[4][9], 40_000
    in_sidecar = ["ip", "netns", "exec", world.namespace_of(world.SIDECAR), "sysctl", "-q"]
    netns.checked([*in_sidecar, f"net.ipv4.ip_local_port_range={port} {port}"])
    held = netns.in_namespace("client", [
        "curl", "-sS", "-N", "-m", "30", "--interface", client, "--local-port", port,
        f"http://{world.VIPS[4]}/big?rate=3m"])
    try:
        with subprocess.Popen(held, stdout=subprocess.PIPE) as plain:
            plain.stdout.read(65536)
            assert curl(url("/forwarded"), client=client).split()[1] == client
            assert 65536 + len(plain.stdout.read()) == servers.BIG_FILE_BYTES
        assert plain.returncode == 0
    finally:
        netns.checked([*in_sidecar, "net.ipv4.ip_local_port_range=1024 65535"])


def test_nobody_but_the_sidecar_reaches_its_place_in_the_dataplane():
    onward = tls_status("web")["onward"]
    address, _, port = onward.rpartition(":")
    netns.run("client", "ip", "route", "add", address, "via", world.APPLIANCE[4], "dev", "eth0",
              "onlink")
    try:
        refused = netns.run("client", "curl", "-sS", "-m", "1", f"http://{address}:{port}/",
                            check=False)
        assert refused.returncode == 28, "a time-out"
    finally:
        netns.run("client", "ip", "route", "del", address)
    dropped = {reason["reason"] for reason in tls_status("web")["dropped"]}
    assert dropped == {"access_denied"}


def test_who_is_denied_is_denied_by_tls_too(variant):
    denied = world.CLIENTS[4][6]
    appliance.penstock("apply", variant(
        ('name = "web"\n', f'name = "web"\ndeny = ["{denied}"]\n')))
    assert curl(url(), check=False).returncode == 28
    assert curl(url(), client=world.CLIENTS[4][7])


def renewed(kind="ecdsa"):
    return authority.make(f"lab.pem.{kind}", kind)


def wait_served(serial, *words, patience_s=20.0):
    deadline = time.monotonic() + patience_s
    while served_serial(*words) != serial:
        assert time.monotonic() < deadline, "the certificate is not served"
        time.sleep(0.05)


def test_a_renewed_certificate_is_served_without_a_reload():
    before = haproxy_pids()
    for kind, cipher in (("ecdsa", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                         ("rsa", "ECDHE-RSA-AES128-GCM-SHA256")):
        wait_served(renewed(kind), "-tls1_2", "-cipher", cipher)
    assert haproxy_pids() == before


def broken():
    (world.TLS / "lab.pem.ecdsa").write_text("no certificate\n", encoding="ascii")


def expired():
    authority.make("lab.pem.ecdsa", days=-1)


def of_another_key():
    authority.make("other.pem")
    certificate = (world.TLS / "lab.pem.ecdsa").read_text().partition("-----BEGIN PRIVATE")[0]
    key = (world.TLS / "other.pem").read_text().partition("-----BEGIN PRIVATE")[2]
    (world.TLS / "lab.pem.ecdsa").write_text(f"{certificate}-----BEGIN PRIVATE{key}")


def gone():
    (world.TLS / "lab.pem.ecdsa").unlink()


@pytest.mark.parametrize("spoil, words", (
    (broken, "there is no certificate in it"), (expired, "expired at"), (of_another_key, "key"),
    (gone, "is not there")), ids=("broken", "expired", "of another key", "gone"))
def test_while_a_file_is_spoilt_the_certificate_before_serves_on(spoil, words):
    serial = renewed()
    wait_served(serial, "-sigalgs", "ECDSA+SHA256")
    spoil()
    said = wait_sidecar(lambda sidecar: any(each["refused"] for each in sidecar["certificates"]))
    refused = next(each["refused"] for each in said["certificates"])
    assert words in refused and str(LAB_PEM) in refused
    assert served_serial("-sigalgs", "ECDSA+SHA256") == serial
    assert refused in appliance.penstock("tls", "status").stdout
    assert any(refused in warning for warning in appliance.status()["warnings"])
    appliance.penstock("weight", "web", "h1-a", "2")  # it keeps nothing else from being changed
    wait_served(renewed(), "-sigalgs", "ECDSA+SHA256")
    wait_sidecar(lambda sidecar: not any(each["refused"] for each in sidecar["certificates"]))


def test_a_configuration_with_a_bad_certificate_changes_nothing(variant):
    authority.make("bad.pem", days=-1)
    file = variant(("lab.pem", "bad.pem"))
    for verb in ("check", "apply"):
        done = appliance.penstock(verb, file, check=False)
        assert done.returncode == 1
        assert f"{world.TLS}/bad.pem" in done.stderr and "expired at" in done.stderr
    assert curl(url())


def test_a_certificate_that_expires_soon_is_warned_of():
    authority.make("lab.pem.ecdsa", days=20)
    wait_sidecar(lambda sidecar: min(each["days_left"] for each in sidecar["certificates"]) < 21)
    assert any("expires in" in warning for warning in appliance.status()["warnings"])
    table = appliance.penstock("tls", "status").stdout
    assert "ECDSA P-256" in table and "RSA 2048" in table and world.TLS_NAME in table
    renewed()


def test_the_authoritys_answer_is_stapled_as_soon_as_it_is_there():
    told = ("-status", "-sigalgs", "ECDSA+SHA256")
    wait_served(renewed(), *told[1:])
    assert "OCSP response: no response sent" in handshake(*told)
    authority.staple("lab.pem.ecdsa")
    wait_sidecar(lambda sidecar: any(each["ocsp"] for each in sidecar["certificates"]))
    deadline = time.monotonic() + 20
    while "OCSP Response Status: successful" not in handshake(*told):
        assert time.monotonic() < deadline, "it is not stapled"
        time.sleep(0.1)


def test_keys_of_tickets_are_rotated_and_sessions_live_on(tmp_path):
    tickets, session = world.RUN / "sidecar" / "tickets", tmp_path / "session"
    before = tickets.read_text().splitlines()
    handshake("-tls1_2", "-sess_out", session)
    half_a_day_ago = time.time() - 12.1 * 3600
    os.utime(tickets, (half_a_day_ago, half_a_day_ago))
    appliance.kill(appliance.pid())  # the next one looks at once, not within a minute
    appliance.wait_all_up(appliance.start(world.TLS_CONFIG))
    appliance.wait_until(lambda _: tickets.read_text().splitlines()[:2] == before[1:], "new keys")
    assert "Reused, TLSv1.2" in handshake("-tls1_2", "-sess_in", session)
    assert "New, TLSv1.2" in handshake("-tls1_2", "-sess_out", session)


def test_clients_that_affinity_keeps_are_kept_by_tls_too(variant):
    appliance.penstock("apply", variant(
        ('protocol = "tcp"\n', 'protocol = "tcp"\naffinity = { idle = "10m" }\n')))
    homes = clients.homes(clients.send("http", HUNDRED))
    for weight in ("0", "5"):
        appliance.penstock("weight", "web", "h1-a", weight)
        appliance.penstock("weight", "web6", "h1-a", weight)
        assert clients.homes(clients.send("https", HUNDRED)) == homes


def test_who_has_no_backends_says_so_at_once():
    for instance in world.INSTANCES:
        servers.kill(instance)
    try:
        for instance in world.INSTANCES:
            appliance.wait_health(instance.name, "down")
        said = curl("-o", "/dev/null", "-w", "%{http_code} %{time_total}", url())
        code, seconds = said.split()
        assert code == "503" and float(seconds) < 10, "HAProxy's own attempts would take 15 s"
    finally:
        servers.start(world.INSTANCES)
    appliance.wait_all_up()
    assert curl(url()).strip() in {instance.name for instance in world.INSTANCES}


def test_a_client_behind_a_narrow_path_gets_its_download_whole():
    arrived = netns.run(world.FAR, "sh", "-c", f"curl -sSk https://{world.VIPS[4]}/big | sha256sum")
    assert arrived.stdout == netns.checked(["sh", "-c", f"sha256sum < {servers.BIG_FILE}"]).stdout


def unit_capabilities():
    """As setpriv(1) has them."""
    unit = (world.ROOT / "configs" / "penstock.service").read_text(encoding="utf-8")
    names = " ".join(line.partition("=")[2] for line in unit.splitlines()
                     if line.startswith("CapabilityBoundingSet=")).split()
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])


def test_the_units_capabilities_are_enough():
    appliance.penstock("stop")
    appliance.wait_all_up(appliance.start(world.TLS_CONFIG, under=[
        "setpriv", "--no-new-privs", f"--bounding-set={unit_capabilities()}"]))
    wait_sidecar(lambda sidecar: sidecar["state"] == "up")
    assert curl(url())
    os.kill(sidecar_status()["pid"], signal.SIGKILL)
    wait_sidecar(lambda sidecar: sidecar["restarts"] == 1 and sidecar["state"] == "up")
    wait_served(renewed(), "-sigalgs", "ECDSA+SHA256")
    appliance.penstock("stop")
    assert world.SIDECAR not in netns.existing()


def test_browsers_are_told_to_come_by_https_only(variant):
    appliance.penstock("apply", variant(("[service.tls]\n", '[service.tls]\nhsts = "8760h"\n')))
    headers = curl("-D", "-", "-o", "/dev/null", url()).lower()
    assert "strict-transport-security: max-age=31536000" in headers


def test_http_is_redirected_and_acme_challenges_are_not(variant):
    file = variant(("[service.tls]\n", '[service.tls]\nredirect_http = true\nacme = "h2-a"\n'))
    appliance.penstock("apply", file)
    said = curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", url("/a?b", "http"))
    assert said == f"308 https://{world.TLS_NAME}/a?b"
    challenge = curl("-D", "-", "-o", "/dev/null",
                     url("/.well-known/acme-challenge/token", "http"))
    assert "x-instance: h2-a" in challenge.lower()
    homes = clients.homes(clients.send("https", HUNDRED))
    appliance.penstock("apply", world.TLS_CONFIG)
    assert clients.homes(clients.send("http", HUNDRED)) == homes


def test_bytes_are_handed_on_with_the_proxy_protocol(variant):
    """An nginx of its own, which reads the header, on the port that the backends are at."""
    file = variant(("[service.tls]\n", "[service.tls]\nhttp = false\nproxy_protocol = true\n"),
                   ("10.0.0.1:3000", "10.0.0.1:3100"), ("10.0.0.1:3001", "10.0.0.1:3100"),
                   ('{ name = "h1-b", address = "10.0.0.1:3100" },', ""),
                   ('{ name = "h2-a", address = "10.0.0.2:3000" },', ""),
                   ('{ name = "h2-b", address = "10.0.0.2:3001" },', ""),
                   ('type = "http"\npath = "/healthz"', 'type = "tcp"'))
    config = world.RUN / "proxied.conf"
    config.write_text(f"""daemon off; pid {world.RUN}/proxied.pid;
error_log {world.RUN}/proxied.log; events {{}}
http {{ access_log off; server {{ listen 10.0.0.1:3100 proxy_protocol;
  location / {{ return 200 "$proxy_protocol_addr\\n"; }} }} }}""", encoding="ascii")
    with subprocess.Popen(netns.in_namespace("host1", ["nginx", "-c", config])) as nginx:
        try:
            appliance.penstock("apply", file)
            appliance.wait_all_up()
            assert curl(url()) == f"{world.CLIENTS[4][6]}\n"
        finally:
            nginx.terminate()


def test_the_daemon_finds_its_sidecar_again():
    before = haproxy_pids()
    with chatting(seconds=6) as seen:
        appliance.kill(appliance.pid())
        assert curl(url()), "without a daemon"
        appliance.wait_all_up(appliance.start(world.TLS_CONFIG))
    assert haproxy_pids() == before
    assert_all_answered(seen)


class chatting:  # pylint: disable=invalid-name
    """Five hundred WebSockets that talk while the block runs; what they saw is there behind it."""

    def __init__(self, seconds, each=10):
        self.process = clients.begin("chat", CHATTING, seconds=seconds, each=each, pause=1,
                                     patience=10)
        self.seen = {}

    def __enter__(self):
        clients.wait_under_way(self.process)
        return self.seen

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
        else:
            self.seen.update(clients.finish(self.process))


def assert_all_answered(seen):
    for client, answers in seen.items():
        failed = [answer for answer in answers if clients.is_error(answer[2])]
        assert answers and not failed, f"{client}: {failed[:1]}"


def start_wrk(seconds):
    return load.start_wrk(4, seconds, "-H", f"Host: {world.TLS_NAME}", scheme="https")


def test_nothing_fails_through_reloads_renewals_and_changes_of_backends(variant):
    files = [variant(("[service.tls]\n", f'[service.tls]\nhsts = "{hours}h"\n')).rename(
        world.RUN / f"hsts{hours}.toml") for hours in (1, 2)]
    turns = 20

    def change(turn):
        begun = time.monotonic()
        appliance.penstock("apply", files[turn % 2])
        wait_served(renewed(), "-sigalgs", "ECDSA+SHA256")
        appliance.penstock("weight", "web", "h1-a", str(1 + turn % 3))
        return time.monotonic() - begun

    seconds = 10 + int(3 * turns * change(1))  # the load slows them down
    wrk = start_wrk(seconds)
    try:
        with chatting(seconds) as seen:
            assert sum(change(turn) for turn in range(turns)) < seconds, "the load was over first"
        load.assert_all_answered(wrk.communicate()[0])
    finally:
        wrk.kill()
        wrk.wait()
    assert_all_answered(seen)
    assert sum(map(len, seen.values())) > 500 * turns / 2


@pytest.mark.parametrize("which", ("worker", "master"))
def test_haproxy_killed_is_back_and_plain_traffic_has_not_noticed(which):
    master = sidecar_status()["pid"]
    worker = next(pid for pid in haproxy_pids() if pid != master)
    plain = clients.begin("watch", HUNDRED, seconds=4, pause=0.1)
    clients.wait_under_way(plain)
    os.kill(worker if which == "worker" else master, signal.SIGKILL)
    wait_sidecar(lambda sidecar: sidecar["pid"] not in (0, master) and sidecar["state"] == "up")
    killed = time.monotonic()
    while curl(url(), check=False).returncode != 0:
        assert time.monotonic() < killed + 20, "TLS is not served again"
    for client, answers in clients.finish(plain).items():
        assert not [answer for answer in answers if clients.is_error(answer[2])], client
    assert sidecar_status()["restarts"] >= 1
    assert worker not in haproxy_pids() and master not in haproxy_pids()


def test_a_program_of_ones_own_can_end_tls(variant):
    """An nginx, at the place that penstock keeps for it; unlike HAProxy it listens at addresses of
    its own only."""
    appliance.penstock("stop")
    appliance.start(variant(("sidecar_namespace", 'sidecar = "none"\nsidecar_namespace'),
                            (f'certificates = ["{LAB_PEM}"]\n', "")))
    appliance.wait_all_up()
    onward = {service["name"]: service["tls"]["onward"]
              for service in appliance.status()["services"] if service["tls"]}
    config = world.RUN / "own.conf"
    config.write_text(f"""user root; daemon off; pid {world.RUN}/own.pid;
error_log {world.RUN}/own.log; events {{}} http {{ access_log off; server {{
  listen 0.0.0.0:443 ssl; ssl_certificate {LAB_PEM}.rsa; ssl_certificate_key {LAB_PEM}.rsa;
  location / {{ proxy_pass http://{onward["web"]}; proxy_bind $remote_addr transparent;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; }}
}} }}""", encoding="ascii")
    netns.run(world.SIDECAR, "ip", "address", "add", world.VIPS[4], "dev", "lo")
    with subprocess.Popen(netns.in_namespace(world.SIDECAR, ["nginx", "-c", config])) as nginx:
        try:
            hundred = world.CLIENTS[4][:100]
            homes = clients.homes(clients.send("http", hundred))
            seen = clients.send("https", hundred)
            assert not clients.errors(seen)
            assert clients.homes(seen) == homes
            assert sidecar_status()["kind"] == "none"
        finally:
            nginx.terminate()
            nginx.wait()
            appliance.penstock("stop")


def test_stop_leaves_nothing_of_it():
    appliance.penstock("stop")
    assert world.SIDECAR not in netns.existing()
    assert "penstock-tls" not in netns.run("appliance", "ip", "link").stdout
    assert not (world.RUN / "sidecar").exists()


def test_a_start_that_fails_leaves_nothing_of_it(variant):
    appliance.penstock("stop")
    daemon = appliance.start(variant(("lab.pem", "nothing.pem")))
    assert daemon.wait(30) == 1
    assert f"{world.TLS}/nothing.pem" in appliance.last_log_line()
    assert world.SIDECAR not in netns.existing()
