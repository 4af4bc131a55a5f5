# SPDX-License-Identifier: MIT
"""Names without DNS: libnss_p2pvpn under getent, ping and ssh."""
import os

from lab import ROOT, Skip, check, equal, scenario, ssh_login, wait


def use_module(lab, host):
    """What installing does, inside the machine's own mounts: library, linker cache, nsswitch."""
    library = os.path.join(lab.build, "lib", "libnss_p2pvpn.so.2")
    if not os.path.exists(library):
        raise Skip("libnss_p2pvpn.so.2 is not built")
    host.run("sh", "-ec", f"""
        mount -t tmpfs tmpfs /usr/local/lib
        cp {library} /usr/local/lib/
        ldconfig -C /run/ld.so.cache
        mount --bind /run/ld.so.cache /etc/ld.so.cache
        echo 'passwd: files' >/run/nsswitch.conf
        echo 'hosts: files dns' >>/run/nsswitch.conf
        {ROOT}/scripts/install-nss --file /run/nsswitch.conf
        mount --bind /run/nsswitch.conf /etc/nsswitch.conf
        echo 'options timeout:1 attempts:1' >/run/resolv.conf
        mount --bind /run/resolv.conf /etc/resolv.conf
    """)
    equal(host.run("grep", "hosts", "/etc/nsswitch.conf").out.split(),
          ["hosts:", "files", "dns", "p2pvpn"], "the line in nsswitch.conf")


def getent(host, database, name):
    r = host.run("getent", database, name, check_rc=False)
    return r.out.split()


@scenario
def bob_is_known_to_every_program(lab):
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    use_module(lab, a)
    network = a.json("status")["network"]["name"]
    full = f"bob.{network}.p2p"
    ip4, ip6 = a.addr(bob), a.addr(bob, family=6)

    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    equal(getent(a, "hosts", "bob"), [ip6, full, "bob"], "getent hosts bob")
    for name in ("bob", "BOB", full, full + "."):
        equal(getent(a, "ahostsv4", name)[0], ip4, f"IPv4 of {name}")
        equal(getent(a, "ahostsv6", name)[0], ip6, f"IPv6 of {name}")
    for ip in (ip4, ip6):
        equal(getent(a, "hosts", ip), [ip, full, "bob"], f"who is {ip}")
    equal(getent(a, "ahostsv4", "a")[0], a.addr(), "the node's own name")
    for name in ("nobody", "bob.other.p2p", f"nobody.{network}.p2p", "10.66.255.1"):
        check(name not in getent(a, "hosts", name)[1:], f"{name} has a name")

    check("1 received" in a.run("ping", "-c", "1", "-W", "5", "bob").out, "ping bob")
    ssh_login(a, bob, ip4, "bob")
    a.run("sh", "-c", "printf 'hi\\n' | nc -q 1 bob 2047", timeout=20)
    wait("a line of nc to arrive",
         lambda: [m["text"] for m in bob.json("history")["messages"]] == ["hi"])

    # The file says it, not the daemon.
    a.stop_daemon()
    equal(getent(a, "ahostsv4", "bob")[0], ip4, "bob while the daemon is down")
    a.daemon()
    a.wait_peer(bob)
    mode = a.run("stat", "-c", "%a %U", "/run/p2pvpn/p2pvpnd.names").out.split()
    equal(mode, ["644", "root"], "mode and owner of the names file")


@scenario
def installing_adds_the_names_and_removing_takes_them_out(lab):
    a = lab.host("a")
    before = "# a comment\npasswd: files\nhosts:  files dns # ours\n"
    a.run("sh", "-c", "cat >/run/real; ln -s /run/real /run/link; rm -f /etc/nsswitch.conf;"
          "cp -P /run/link /etc/nsswitch.conf", stdin=before)
    def read():
        return a.run("cat", "/etc/nsswitch.conf").out
    def hosts():
        return [x.split("#")[0].split() for x in read().splitlines() if x.startswith("hosts")]
    install = ["cmake", "--install", lab.build, "--prefix", "/run/inst"]
    for _ in range(2):
        a.run(*install)
        equal(hosts(), [["hosts:", "files", "dns", "p2pvpn"]], "the line after installing")
    equal(a.run("readlink", "/etc/nsswitch.conf").out.strip(), "/run/real", "the link")
    equal(a.run("cat", "/etc/nsswitch.conf.before-p2pvpn").out, before, "the copy of the old file")
    check("libnss_p2pvpn" in a.run("find", "/run/inst").out, "the module is not installed")
    a.run("cmake", "--build", lab.build, "--target", "uninstall")
    equal(hosts(), [["hosts:", "files", "dns"]], "the line after removing")
    check("# ours" in read() and "# a comment" in read(), "comments are gone")
    equal(a.run("find", "/run/inst", "-type", "f").out, "", "what is left")
    # For a package nothing outside is touched.
    a.run("env", "DESTDIR=/run/dest", *install)
    equal(hosts(), [["hosts:", "files", "dns"]], "the line after making a package")
    a.run("rm", "-f", f"{lab.build}/install_manifest.txt")


@scenario
def names_come_and_go_with_the_roster(lab):
    coordinator = lab.coordinator()
    a, bob, carol = lab.host("a"), lab.host("bob"), lab.host("carol")
    lab.network(coordinator, [a, bob])
    use_module(lab, a)
    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    equal(getent(a, "hosts", "carol"), [], "carol before she joined")
    carol.daemon()
    carol.join(a.ctl("invite").out.strip())
    wait("carol to have a name", lambda: getent(a, "hosts", "carol"))
    a.ctl("remove", "bob")
    wait("bob's name to go", lambda: not getent(a, "hosts", "bob"))
    check(getent(a, "hosts", "carol"), "carol has lost her name")
    carol.ctl("leave")
    wait("carol's file to go",
         lambda: carol.run("ls", "/run/p2pvpn").out.split() == ["p2pvpnd.sock"])
    wait("carol's name to go", lambda: not getent(a, "hosts", "carol"))
    # A name something else has is that one's.
    a.run("sh", "-ec", "echo 192.0.2.9 dave >/run/hosts; mount --bind /run/hosts /etc/hosts")
    equal(getent(a, "hosts", "dave")[0], "192.0.2.9", "a name of /etc/hosts")

    a.run("umount", "/etc/nsswitch.conf")
    a.run(f"{ROOT}/scripts/install-nss", "--remove", "--file", "/run/nsswitch.conf")
    a.run("mount", "--bind", "/run/nsswitch.conf", "/etc/nsswitch.conf")
    equal(a.run("grep", "hosts", "/etc/nsswitch.conf").out.split(), ["hosts:", "files", "dns"],
          "the line after removal")
