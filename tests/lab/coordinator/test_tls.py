# SPDX-License-Identifier: MIT
"""TLS of the coordinator as stock programs see it, and where nodes are told of it."""
import base64
import hashlib
import re

from lab import check, equal, scenario, wait

# Asks a port for a TLS connection and sends nothing more, or never ends its ClientHello.
SLOW = """
import socket, ssl, sys
host, port, n, hello = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
socks = []
for _ in range(n):
    s = socket.create_connection((host, port), 60)
    s.sendall(hello)
    socks.append(s)
print("open", flush=True)
ended = 0
for s in socks:
    s.settimeout(60)
    try:
        while s.recv(4096):
            pass
    except ConnectionResetError:
        pass
    ended += 1
print("ended", ended, flush=True)
"""


def s_client(host, server, port, *args):
    r = host.run("openssl", "s_client", "-connect", f"{server}:{port}", *args, stdin="",
                 check_rc=False)
    return r.out + r.err


@scenario
def stock_tls_gets_in_and_what_is_old_does_not(lab):
    host, client = lab.host("coord"), lab.host("client")
    coordinator = lab.coordinator(host, args=["--tls-listen", "0.0.0.0:443", "--tls-listen",
                                              "[::]:443"])
    for server, port in ((host.ip4, 443), (host.ip4, 3478), (f"[{host.ip6}]", 443)):
        for version in ("-tls1_2", "-tls1_3"):
            text = s_client(client, server, port, version)
            check("Cipher is TLS_" in text or "Cipher is ECDHE-" in text,
                  f"{version} at {server}:{port}: {text}")
    for args in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA"),
                 ("-tls1_2", "-cipher", "AES128-GCM-SHA256")):
        text = s_client(client, host.ip4, 443, *args)
        check("Cipher is (NONE)" in text, f"{args}: {text}")
    # The certificate is for the public address, and its pin is what the log says.
    pem = s_client(client, host.ip4, 443, "-showcerts")
    pem = re.search("-----BEGIN.*?-----END CERTIFICATE-----", pem, re.S).group(0)
    text = client.run("openssl", "x509", "-noout", "-text", stdin=pem).out
    check(f"IP Address:{host.ip4}" in text, f"names: {text}")
    der = client.run("sh", "-c", "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der "
                     "| base64", stdin=pem).out
    pin = hashlib.sha256(base64.b64decode(der)).digest()
    check(base64.urlsafe_b64encode(pin).decode().rstrip("=") in coordinator.program.text(),
          "the pin in the log")


@scenario
def the_slow_and_the_many_do_not_keep_others_out(lab):
    host, client, other = lab.host("coord"), lab.host("client"), lab.host("other")
    coordinator = lab.coordinator(host, args=["--tls-listen", "0.0.0.0:443"])
    hello = "16030102000100" + "01fc0303" + "00" * 8  # the head of one that goes on
    slow = client.start("python3", "-c", SLOW, host.ip4, "443", "60", hello)
    wait("sixty handshakes to be under way", lambda: "open" in slow.text())
    text = s_client(other, host.ip4, 443)
    check("Cipher is TLS_" in text, f"somebody else: {text}")
    wait("all of them to be ended", lambda: "ended 60" in slow.text())
    coordinator.program.must_run()


@scenario
def create_writes_down_where_tls_is(lab):
    host, a = lab.host("coord"), lab.host("a")
    coordinator = lab.coordinator(host, args=["--tls-listen", "0.0.0.0:443"])
    a.daemon()
    token = a.create(coordinator.url())
    text = token[len("p2pvpn-"):]
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    check(f"tls:{host.ip4}:443".encode() in raw, f"not in the token: {raw}")
    equal(raw.count(b":3478"), 1, "plain addresses in the token")
