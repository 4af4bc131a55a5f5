# SPDX-License-Identifier: MIT
"""Thirty machines on one public network."""
import subprocess

from lab import check, equal, scenario, wait

NODES = 30


@scenario
def thirty_nodes(lab):
    coordinator = lab.coordinator()
    hosts = [lab.host(f"n{i}") for i in range(NODES)]
    for h in hosts:
        h.daemon(wait_ready=False)
    for h in hosts:
        h.wait_daemon()
    hosts[0].create(coordinator.url())
    token = hosts[0].ctl("invite", "--uses", NODES).out.strip()
    joining = [subprocess.Popen([*h.enter, lab.bin("p2pvpnctl"), "join", token, "--name", h.name],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for h in hosts[1:]]
    for h, p in zip(hosts[1:], joining):
        _, err = p.communicate(timeout=120)
        check(p.returncode == 0, f"{h.name} cannot join: {err}")
    addresses = set()
    for h in hosts:
        wait(f"{h.name} to know all", lambda h=h: len(h.peers()) == NODES - 1, timeout=40)
        addresses.add(h.addr())
    equal(len(addresses), NODES, "different addresses")
    for i, h in enumerate(hosts):
        for step in (1, 7, 16):
            other = hosts[(i + step) % NODES]
            check(h.os_ping(h.addr(other), timeout=10), f"ping from {h.name} to {other.name}")
    for h in hosts[:3]:
        path = h.wait_direct(hosts[20])
        equal(path["type"], "direct", "path")
    coordinator.program.must_run()
