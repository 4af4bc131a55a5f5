# SPDX-License-Identifier: MIT
"""The common parts of scenarios about names: libnss_p2pvpn.so.2 and libnss_p2pvpn_short.so.2 in use on a host."""
import os

from lab import ROOT, Skip, equal

HOSTS_LINE = ["hosts:", "files", "p2pvpn", "[TRYAGAIN=return]", "dns", "p2pvpn_short"]


def use_module(lab, host):
    """The steps of installing, inside the machine's own mounts: library, linker cache, nsswitch."""
    library = os.path.join(lab.build, "lib")
    if not os.path.exists(library + "/libnss_p2pvpn.so.2"):
        raise Skip("libnss_p2pvpn.so.2 is not built")
    host.run("sh", "-ec", f"""
        mount -t tmpfs tmpfs /usr/local/lib
        cp {library}/libnss_p2pvpn*.so.2 /usr/local/lib/
        ldconfig -C /run/ld.so.cache
        mount --bind /run/ld.so.cache /etc/ld.so.cache
        echo 'passwd: files' >/run/nsswitch.conf
        echo 'hosts: files dns' >>/run/nsswitch.conf
        {ROOT}/nss/p2pvpn-nss --file /run/nsswitch.conf
        mount --bind /run/nsswitch.conf /etc/nsswitch.conf
        echo 'options timeout:1 attempts:1' >/run/resolv.conf
        mount --bind /run/resolv.conf /etc/resolv.conf
    """)
    equal(host.run("grep", "hosts", "/etc/nsswitch.conf").out.split(), HOSTS_LINE,
          "the line in nsswitch.conf")


def getent(host, database, name):
    r = host.run("getent", database, name, check_rc=False)
    return r.out.split()
