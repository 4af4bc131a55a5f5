# SPDX-License-Identifier: MIT
"""Paths narrower than the link, with routers that drop what does not fit and say nothing."""
from lab import check, equal, scenario, ssh_login, wait


def pair(lab, *settings):
    coordinator = lab.coordinator()
    east = lab.lan("east", "profile=port-restricted", "delay=5ms", "mtu-icmp=no", *settings)
    a = lab.host("a", east)
    b = lab.host("b", lab.lan("west", "profile=address-restricted", "delay=5ms"))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    return a, b, a.addr(b), east.nat


def fits(a, address, inner):
    """Does an inner packet of so many bytes reach the other end whole?"""
    for family in ("-4", "-6"):
        a.run("ip", family, "route", "flush", "cache")  # the kernel remembers smaller answers for 10 minutes
    headers = 48 if ":" in address else 28
    r = a.run("ping", "-n", "-c", "1", "-W", "1", "-s", str(inner - headers), "-M", "do", address,
              check_rc=False)
    return "1 received" in r.out


def copy(a, address, target="/run/copied"):
    """1 MB over ssh, checked."""
    ssh = ("ssh -F none -i /run/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
           "-o BatchMode=yes -o ConnectTimeout=10")
    r = a.run("sh", "-c", "head -c 1000000 /dev/urandom >/run/f; sha256sum </run/f; "
              f"{ssh} root@{address} 'cat >{target}; sha256sum <{target}' </run/f", timeout=60)
    first, second = r.out.split("\n")[:2]
    equal(second, first, "checksum of 1 MB over ssh")


def narrow(lab, link):
    a, b, address, _ = pair(lab, f"mtu-out={link}", f"mtu-in={link}")
    six = a.addr(b, 6)
    ssh_login(a, b, address, also=(six,))
    copy(a, address)
    inner = max(link - 60, 1280)  # never less: in parts
    wait("a packet that just fits to pass", lambda: fits(a, address, inner), 6)
    check(not fits(a, address, inner + 16), "a packet that does not fit passed")
    wait("one over IPv6 to pass", lambda: fits(a, six, inner), 6)
    check(not fits(a, six, inner + 16), "one that does not fit passed over IPv6")
    copy(a, six, "/run/copied6")


@scenario
def links_of_1280(lab):
    narrow(lab, 1280)


@scenario
def links_of_1400(lab):
    narrow(lab, 1400)


@scenario
def a_path_that_narrows(lab):
    """In the middle of use, without a word: found within 5 seconds, and nothing hangs."""
    a, b, address, nat = pair(lab)
    ssh_login(a, b, address)
    copy(a, address)
    check(fits(a, address, 1420), "a full packet before")
    nat.set(mtu_out=1300, mtu_in=1300)
    wait("packets of 1240 bytes to pass again", lambda: fits(a, address, 1240), 6)
    copy(a, address, "/run/again")
    check(fits(a, address, 1280), "1280 bytes, in parts")
    check(not fits(a, address, 1420), "a full packet after")
