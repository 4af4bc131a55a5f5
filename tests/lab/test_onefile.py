# SPDX-License-Identifier: MIT
"""The static program: one file, copied to a machine, is p2pvpnctl and the p2pvpnd that it starts.

It lies in build/packages/static, where scripts/package static puts it; without it this is skipped.
"""
import os

from lab import ROOT, Skip, check, equal, scenario, wait

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
FILE = os.path.join(ROOT, f"build/packages/static/p2pvpn-{ARCH}")


class Copied:
    """A machine that has the file alone, by a name of its user's choice; modules of NSS that any other program
    would look for are nowhere, and so is a group p2pvpn."""

    def __init__(self, host, coordinator):
        self.host, self.file = host, f"/run/one/{host.name}"
        host.run("sh", "-ec", f"""
            mkdir /run/one
            cp {FILE} {self.file}
            printf 'passwd: nowhere\\ngroup: nowhere\\nhosts: nowhere\\n' >/run/one/nsswitch.conf
            echo '{coordinator.public()} coord.test' >/run/one/hosts
            for file in nsswitch.conf hosts; do mount --bind /run/one/$file /etc/$file; done""")

    def ctl(self, *args):
        return self.host.run(self.file, *args).out

    def libraries(self):
        """What the processes that run the file have in memory of other files."""
        maps = self.host.run("sh", "-c", f"""for p in /proc/[0-9]*; do
            [ "$(readlink $p/exe)" != {self.file} ] || cat $p/maps $p/comm; done""").out
        check("p2pvpnd" in maps.splitlines(), f"no process of {self.file} is called p2pvpnd: {maps}")
        return sorted({line.split()[-1] for line in maps.splitlines() if ".so" in line})


@scenario
def two_machines_meet_and_chat(lab):
    if not os.path.exists(FILE):
        raise Skip("there is no static program: scripts/package static makes it")
    coordinator = lab.coordinator()
    a, b = (Copied(lab.host(n, lab.lan(f"lan-{n}", "profile=port-restricted")), coordinator) for n in "ab")
    url = coordinator.host.run(lab.bin("p2pvpn-coordinator"), "url", "--public", "coord.test").out.strip()
    token = a.ctl("create", url, "--name", "a").split()[-1]
    b.ctl("join", token, "--name", "b")
    a.ctl("wait", "--peer", "b")
    a.ctl("ping", "b", "-c", "1")
    a.ctl("send", "b", "one file")
    wait("the line to arrive", lambda: "one file" in b.ctl("inbox", "--peek"))
    for machine in (a, b):
        equal(machine.libraries(), [], "libraries that were loaded")
