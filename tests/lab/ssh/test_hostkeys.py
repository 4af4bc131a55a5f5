# SPDX-License-Identifier: MIT
"""ssh to a member asks nothing: OpenSSH's own programs, with the file that the package brings."""
import os
import signal
import time

from lab import SLOW, check, equal, scenario, wait
from nsslab import STRANGER, use_module
from sshlab import KINDS, authorize, known, login, make_host_keys, own_etc_ssh, sshd

TYPES = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]


def begin(lab, *names):
    """Hosts with an /etc/ssh each, in one network; the first is where ssh is run, and the second has keys."""
    coordinator = lab.coordinator()
    hosts = [lab.host(name) for name in names]
    for host in hosts:
        own_etc_ssh(lab, host)
    make_host_keys(hosts[1])
    lab.network(coordinator, hosts)
    for host in hosts[1:]:
        hosts[0].wait_peer(host)
    use_module(lab, hosts[0])
    authorize(*hosts[:2])
    wait("the host keys of the second to be known", lambda: known(hosts[0], names[1]) == TYPES)
    return coordinator, *hosts


def refused(a, host, *words):
    code, _, err = login(a, host)
    equal(code, 255, f"exit code of ssh {host}")
    for word in words:
        check(word in err, f"no {word!r}: {err}")


@scenario
def the_first_login_asks_nothing(lab):
    coordinator, a, pi = begin(lab, "a", "pi")
    full = f"pi.{a.json('status')['network']['name']}.p2p"
    sshd(pi)
    sshd(pi, port=2222)
    for host in ("pi", "PI", full, a.addr(pi), a.addr(pi, family=6)):
        equal(login(a, host)[:2], (0, "pi"), f"ssh {host}")
    equal(login(a, "pi", "-p", "2222")[:2], (0, "pi"), "ssh -p 2222 pi")
    # Each kind alone, since ssh chooses the one that it knows.
    for kind, name in zip(KINDS, ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")):
        equal(login(a, "pi", "-o", f"HostKeyAlgorithms={name}")[:2], (0, "pi"), f"ssh with the key of {kind}")
    # An address as it is checked beside the name, and a question of OpenSSH's order of algorithms.
    equal(login(a, "pi", "-o", "CheckHostIP=yes")[:2], (0, "pi"), "ssh with CheckHostIP")
    a.run("sh", "-ec", "head -c 100000 /dev/urandom >/run/f")
    a.run("scp", "-q", "-i", "/run/key", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=/dev/null", "-o",
          "BatchMode=yes", "/run/f", "root@pi:/run/copied")
    equal(pi.run("sha256sum", "/run/copied").out.split()[0], a.run("sha256sum", "/run/f").out.split()[0], "scp")

    # A way of ssh's own to the member, which no resolver of this machine needs to know.
    a.run("umount", "/etc/nsswitch.conf")
    proxy = f"{lab.bin('p2pvpnctl')} nc %h %p"
    equal(login(a, "pi", "-o", f"ProxyCommand={proxy}")[:2], (0, "pi"), "ssh by p2pvpnctl nc")

    # Members keep the keys: neither the coordinator nor the other node is asked.
    coordinator.end()
    pi.stop_daemon()
    took = []
    for _ in range(5):
        began = time.monotonic()
        equal(known(a, a.addr(pi)), TYPES, "keys while everybody is away")
        took.append(time.monotonic() - began)
    print(f"known-hosts: {1000 * min(took):.0f} ms at best, {1000 * max(took):.0f} ms at worst")
    check(min(took) < 0.3 * SLOW, f"an answer takes {min(took)} s")


@scenario
def only_the_owner_replaces_a_key(lab):
    _, a, pi = begin(lab, "a", "pi")
    daemon = sshd(pi)
    equal(login(a, "pi"), (0, "pi", ""), "the first login")
    before = a.ctl("ssh", "known-hosts", "pi").out

    # Another sshd at that address: what a thief of the address would have.
    daemon.end()
    pi.run("sh", "-ec", "rm -f /run/other*; ssh-keygen -q -N '' -t ed25519 -f /run/other")
    daemon = sshd(pi, "/run/other")
    refused(a, "pi", "REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed")
    daemon.end()

    # root of pi makes new ones, and p2pvpnd finds them.
    make_host_keys(pi)
    pi.ctl("ssh", "announce")
    wait("a to know the new keys", lambda: a.ctl("ssh", "known-hosts", "pi").out not in ("", before))
    equal(known(a, "pi"), TYPES, "the new keys")
    daemon = sshd(pi)
    equal(login(a, "pi")[:2], (0, "pi"), "a login by the new key")
    daemon.end()

    # Keys of another place.
    pi.ctl("ssh", "announce", "/run/other.pub")
    wait("a to know the named key", lambda: known(a, "pi") == ["ssh-ed25519"])
    daemon = sshd(pi, "/run/other")
    equal(login(a, "pi")[:2], (0, "pi"), "a login by the key that root named")
    pi.restart_daemon()
    a.wait_peer(pi)
    equal(known(a, "pi"), ["ssh-ed25519"], "the key after a restart")
    equal(pi.ctl("ssh", "announce", "/run/other", code=2).out, "", "a private key")
    r = pi.run(*pi.as_user(), lab.bin("p2pvpnctl"), "ssh", "announce", "--none", check_rc=False)
    equal((r.code, known(a, "pi")), (5, ["ssh-ed25519"]), "somebody without rights")
    pi.ctl("ssh", "announce", "--none")
    wait("the key to be gone", lambda: known(a, "pi") == [])
    refused(a, "pi", "Host key verification failed")


@scenario
def a_name_leads_to_the_keys_of_whoever_has_it_now(lab):
    _, a, pi, carol = begin(lab, "a", "pi", "carol")
    make_host_keys(carol, ["ed25519"])
    carol.ctl("ssh", "announce")
    wait("carol's key", lambda: known(a, "carol") == ["ssh-ed25519"])
    former = a.addr(pi)

    a.ctl("rename", "pi", "tau")
    wait("pi to be called tau", lambda: known(a, "tau") == TYPES)
    equal(known(a, "pi"), [], "a name that nobody has")
    equal(known(a, former), TYPES, "an address that stays")

    a.ctl("remove", "tau")
    wait("tau to have no keys", lambda: known(a, "tau") == [])
    equal(known(a, former), [], "the address of a removed member")
    a.ctl("rename", "carol", "pi")
    wait("carol to be called pi", lambda: known(a, "pi") == ["ssh-ed25519"])
    equal(known(a, "carol"), [], "carol's former name")
    for other in ("nobody", "192.0.2.1", "pi.other.p2p", "[pi]:x", "*", "pi,tau", "!pi", "::1", "x" * 300):
        equal(known(a, other), [], f"keys of {other}")


@scenario
def ssh_to_others_is_as_it_was(lab):
    """Neither a p2pvpnd that is down or hangs nor a DNS server that says otherwise gets in the way of ssh."""
    _, a, pi = begin(lab, "a", "pi")
    sshd(pi)
    public = pi.ip4
    line = pi.run("cut", "-d ", "-f1,2", "/etc/ssh/ssh_host_ed25519_key.pub").out
    a.run("sh", "-c", "cat >/run/known", stdin=f"{public} {line}")
    own = ("-o", "UserKnownHostsFile=/run/known")

    # Another machine is called pi in the LAN: its keys are nobody's but its own.
    a.start("python3", "-c", STRANGER, "wildcard", "127.0.0.1", name="dns")
    wait("the name server", lambda: a.run("ss", "-Huln", "sport = :53").out)
    a.run("sh", "-c", "echo nameserver 127.0.0.1 >>/run/resolv.conf")
    equal(known(a, "pi"), [], "keys of a name that DNS has")
    full = f"pi.{a.json('status')['network']['name']}.p2p"
    equal(known(a, full), TYPES, "keys of the full name")
    equal(known(a, a.addr(pi)), TYPES, "keys of the address")

    equal(login(a, public, *own)[:2], (0, "pi"), "another host that ssh knows")
    overlay = a.addr(pi)
    refused(a, public)
    os.kill(a.p2pvpnd.pid, signal.SIGSTOP)
    began = time.monotonic()
    equal(known(a, overlay), [], "keys while p2pvpnd hangs")
    check(0.9 < time.monotonic() - began < 3, "it gives up after a second")
    equal(login(a, public, *own)[:2], (0, "pi"), "another host while p2pvpnd hangs")
    os.kill(a.p2pvpnd.pid, signal.SIGCONT)
    a.stop_daemon()
    equal(known(a, full), [], "keys while p2pvpnd is down")
    equal(login(a, public, *own)[:2], (0, "pi"), "another host while p2pvpnd is down")
    a.run("sed", "-i", "s,[^ \"]*/p2pvpnctl,/nowhere/p2pvpnctl,", "/etc/ssh/ssh_config.d/p2pvpn.conf")
    equal(login(a, public, *own)[:2], (0, "pi"), "another host without p2pvpnctl")


@scenario
def a_user_without_rights_is_asked_nothing_either(lab):
    coordinator = lab.coordinator()
    pi, a = lab.host("pi"), lab.host("a")
    for host in (pi, a):
        own_etc_ssh(lab, host)
    make_host_keys(pi)
    a.without_root()
    lab.network(coordinator, [pi, a])
    a.wait_peer(pi)
    authorize(a, pi)
    daemon = sshd(pi)
    wait("the host keys of pi to be known", lambda: known(a, "pi") == TYPES)
    equal(login(a, "pi", by=a.inside)[:2], (0, "pi"), "run ssh pi")
    proxy = f"ProxyCommand={lab.bin('p2pvpnctl')} nc %h %p"
    equal(login(a, "pi", "-o", proxy)[:2], (0, "pi"), "ssh by p2pvpnctl nc")
    daemon.end()
    pi.run("sh", "-ec", "ssh-keygen -q -N '' -t ed25519 -f /run/other")
    sshd(pi, "/run/other")
    for code, _, err in (login(a, "pi", by=a.inside), login(a, "pi", "-o", proxy)):
        equal(code, 255, "exit code of ssh to an impostor")
        check("REMOTE HOST IDENTIFICATION HAS CHANGED" in err, err)
