# SPDX-License-Identifier: MIT
"""A user without rights on a member's machine."""

import os

from lab import check, equal, scenario, wait

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
INTRUDER = os.path.join(os.path.dirname(__file__), "programs", "intruder.py")


@scenario
def a_user_without_rights_finds_nothing(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.configure("[dns]\nlisten = on\n[chat]\nnotify = /bin/true\n[metrics]\nlisten = 127.0.0.1:9100\n")
    lab.network(coordinator, [a, b])
    said = b.run(*NOBODY, "python3", INTRUDER, b.addr(), "p2pvpn0")
    equal(said.out, "", "what a user without rights could do")
    # One of group p2pvpn may ask the daemon, and nothing else.
    said = b.run(*b.as_user(), "python3", INTRUDER, b.addr(), "p2pvpn0")
    equal(set(said.out.splitlines()), {f"{what} /run/p2pvpn/p2pvpnd.sock" for what in ("connect",)} | {"connect /run/p2pvpn/p2pvpnd.chat"},
          "what a user of the group could do")


SQUATTER = """
import socket, sys, time
held = []
for port in (2047, 2048):
    s = socket.socket()
    s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: the address is not there yet
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[1], port))
    s.listen()
    held.append(s)
print("bound", flush=True)
while True:
    c, who = held[0].accept()
    print("got", c.recv(4096), flush=True)
"""


@scenario
def a_program_that_takes_the_ports_before_the_daemon_is_named_and_outlived(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.ctl("send", "b", "before")
    wait("the first message", lambda: "before" in b.ctl("history").out)
    address = b.addr()
    b.stop_daemon()
    squatter = b.start(*NOBODY, "python3", "-c", SQUATTER, address, name="squatter")
    wait("the ports to be taken", lambda: "bound" in squatter.text())
    b.daemon()
    a.wait_peer(b)
    a.ctl("send", "b", "secret")
    for port in ("2047", "2048"):
        wait(f"status to speak of port {port}", lambda port=port: any(port in p for p in b.json("status")["problems"]))
    wait("a connection to the squatter", lambda: "got" in squatter.text())
    check("secret" not in squatter.text(), "a user without rights got a message")
    squatter.kill()
    wait("the message", lambda: "secret" in b.ctl("history").out, timeout=60)
    wait("no problem to be left", lambda: not b.json("status")["problems"])
