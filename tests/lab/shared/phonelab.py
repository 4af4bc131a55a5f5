# SPDX-License-Identifier: MIT
"""The common parts of scenarios about phones: a machine that has the stock app, and nothing of ours."""
import shutil

from lab import Skip, wait

RESOLVCONF = """#!/bin/sh
# The program that wg-quick calls for the line DNS.
[ "$1" != -a ] || cat >/run/resolv.conf
"""


class Phone:
    """A machine with the stock app, which reads the exported file as wg-quick does."""

    def __init__(self, lab, name, lan):
        for tool in ("wireguard-go", "wg", "wg-quick"):
            if shutil.which(tool) is None:
                raise Skip(f"{tool} is not installed")
        self.lab, self.name = lab, name
        self.host = lab.host(name, lan, ipv6=False)
        self.host.run("sh", "-ec", "mkdir /run/bin; cat >/run/bin/resolvconf; chmod +x /run/bin/resolvconf; "
                      "echo >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf", stdin=RESOLVCONF)

    def use(self, file):
        path = f"/run/{self.name}.conf"
        self.host.run("sh", "-c", f"umask 077; cat >{path}", stdin=file)
        self.host.run("env", "WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                      "wg-quick", "up", path)
        self.ip4 = next(x for x in file.split() if x.startswith("10.")).split("/")[0]

    def move(self, lan):
        """The apps of phones choose their socket anew when the network changes; wg needs a word."""
        old = self.host.dev
        self.lab.attach(self.host, lan, ipv6=False)
        self.host.ip(f"link del {old}")
        self.host.run("wg", "set", self.name, "listen-port", "51999")

    def pings(self, to, timeout=1):
        return self.host.os_ping(to, timeout=timeout)


def meets(phone, member):
    """The phone and the member reach each other."""
    address = member.addr()
    wait(f"{phone.name} to reach {member.name}", lambda: phone.pings(address))
    wait(f"{member.name} to reach {phone.name}", lambda: member.os_ping(phone.ip4, timeout=1))
