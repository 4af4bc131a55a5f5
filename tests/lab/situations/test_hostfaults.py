# SPDX-License-Identifier: MIT
"""Faults of the host itself: p2pvpnd names each by the row of the remedy, and doing what the row says ends it."""
from exitlab import seen_as, through, use, world
from lab import check, equal, scenario, wait
from remedylab import commands, gone, problem, reload_with, remedy_of, run

STATE = "/var/lib/p2pvpn"
HOLD_PORT = "import socket, signal; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 40001)); " \
            "print('ready', flush=True); signal.pause()"


def refusal(host):
    """What a p2pvpnd says that does not start."""
    host.daemon(wait_ready=False)
    wait("p2pvpnd to refuse", lambda: not host.p2pvpnd.running())
    return host.p2pvpnd.text()


def named(host, words, remedy):
    said = problem(host, words)
    equal(remedy_of(host, words), remedy, said)
    return said


@scenario
def a_port_that_p2pvpnd_cannot_have(lab):  # remedy: other_port, port_by_flag
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.stop_daemon()
    a.configure("[interface]\nport = 40001\n")
    holder = a.start("/usr/bin/python3", "-c", HOLD_PORT, name="holder")
    wait("another program to have the port", lambda: "ready" in holder.text())
    said = refusal(a)
    check("in use: stop the program that uses it" in said, said)
    holder.end()
    a.daemon()
    a.wait_peer(b)
    a.stop_daemon()
    a.run("sh", "-c", "rm /etc/p2pvpn/p2pvpnd.conf; echo 700 >%s/port" % STATE)
    said = refusal(a)
    check("below 1024: give it with --port" in said, said)
    a.daemon("--port", "700")
    a.wait_peer(b)


@scenario
def a_range_of_the_internet_that_the_settings_no_longer_name(lab):  # remedy: name_range
    a = lab.host("a")
    a.configure("[interface]\nrange = 203.0.113.0/24\n")
    a.daemon()
    a.ctl("create", lab.coordinator().url(), "--name", "a", "--cidr", "203.0.113.0/24")
    a.stop_daemon()
    a.run("sh", "-c", "mv /etc/p2pvpn/p2pvpnd.conf /run/aside")
    a.daemon()
    named(a, "is not of a private range", "name_range")
    a.run("sh", "-c", "mv /run/aside /etc/p2pvpn/p2pvpnd.conf")
    a.restart_daemon()
    gone(a, "is not of a private range")
    check(a.json("status")["interface"], "no interface")


@scenario
def a_kernel_whose_switches_cannot_be_set(lab):  # remedy: set_sysctl
    a = lab.host("a")
    lab.network(lab.coordinator(), [a])
    a.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    a.run("sh", "-c", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
    a.stop_daemon()
    a.daemon()
    a.ctl("route", "offer", "10.77.0.0/16", check_rc=False)
    said = named(a, "set it yourself", "set_sysctl")
    a.run("umount", "/proc/sys")
    a.run(*said.split("`")[1].split()[1:])
    gone(a, "set it yourself")


@scenario
def a_table_that_forwards_only_what_it_knows(lab):  # remedy: accept_in_table
    _, _, alice, exit_, web = world(lab)
    exit_.nft("table inet strict {\nchain forward {\ntype filter hook forward priority filter; policy drop;\n}\n}")
    use(alice)
    for _ in range(4):
        equal(seen_as(alice, web), None, "dropped by that table: alice")
    said = named(exit_, "drops what it does not know", "accept_in_table")
    check(f"accept iifname {exit_.tun} and oifname {exit_.tun}" in said, said)
    for end in ("iifname", "oifname"):
        exit_.nft(f'add rule inet strict forward {end} "{exit_.tun}" accept\n')
    gone(exit_, "drops what it does not know")
    through(alice, exit_, web)


@scenario
def an_exit_without_a_name_server_for_others(lab):  # remedy: public_resolver, give_resolver
    _, _, _, exit_, web = world(lab)
    exit_.run("sh", "-ec", "echo nameserver 127.0.0.1 >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf")
    named(exit_, "this host's resolver is on the host itself", "public_resolver")
    exit_.run("sh", "-c", f"echo nameserver {web.ip4} >/run/resolv.conf")
    named(exit_, "/etc/resolv.conf has no server with such an address", "give_resolver")
    exit_.run("sh", "-c", f"echo nameserver {web.ip6} >>/run/resolv.conf")
    gone(exit_, "/etc/resolv.conf has no server")


@scenario
def an_exit_that_another_network_uses(lab):  # remedy: exit_off_first
    coordinator, _, alice, exit_, web = world(lab)
    wexit = lab.host("wexit")
    wexit.daemon()
    token = wexit.ctl("create", coordinator.url(), "--network", "work", "--name", "wexit", "--cidr", "10.77.0.0/16").out
    wexit.ctl("exit", "offer")
    wexit.ctl("route", "allow", "wexit", "default", check_rc=False)
    alice.ctl("-n", "work", "join", token.strip(), "--name", "alice")
    use(alice)
    wait("the refusal", lambda: "another network of this machine uses one: there `sudo p2pvpnctl exit off`"
         in alice.ctl("-n", "work", "exit", "use", "wexit", check_rc=False).err)
    alice.ctl("exit", "off")
    wait("work's exit", lambda: alice.ctl("-n", "work", "exit", "use", "wexit", check_rc=False).code == 0)


@scenario
def a_start_in_a_lan_of_the_networks_range(lab):  # remedy: other_range, leave_that_network
    """The LAN's address was there first: the node has no interface until one of the two is gone, and says so."""
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.wait_peer(b)
    near = ".".join(str(a.addr(b)).split(".")[:3]) + ".254/24"
    a.stop_daemon()
    a.ip("link add lan0 type veth peer name lan1", "link set lan0 up", "link set lan1 up", f"addr add {near} dev lan0")
    a.daemon()
    said = named(a, "overlaps", "other_range")
    check("lan0" in said and near.rsplit(".", 1)[0] in said, said)
    check(a.json("status")["interface"] is None, "an interface beside the LAN")
    r = a.ctl("why", "b", check_rc=False)
    check("lan0" in r.out, f"why: {r}")
    a.ip(f"addr del {near} dev lan0")
    gone(a, "overlaps")
    wait("a to reach b", lambda: a.os_ping(a.addr(b), timeout=1))
    check(not a.json("status")["problems"], a.json("status")["problems"])


@scenario
def a_coordinator_that_gives_no_phone_port(lab):  # remedy: set_phone_ports, way_in, forward_port_there
    host = lab.host("coord")
    host.run("mkdir", "-p", "/etc/p2pvpn")
    host.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin="[relay]\nphone-ports = 0\n")
    coordinator = lab.coordinator(host)
    admin, nas = lab.host("admin"), lab.host("nas", lab.lan("home", "profile=symmetric"))
    nas.configure("[phones]\ngateway = on\n")
    lab.network(coordinator, [admin, nas])
    admin.wait_peer(nas)
    key = nas.run("wg", "genkey").out
    public = nas.run("wg", "pubkey", stdin=key).out.strip()
    nas.ctl("admin", "grant", "nas", check_rc=False)
    admin.ctl("admin", "grant", "nas")
    wait("nas to be an admin", lambda: nas.json("status")["self"]["admin"])
    r = nas.ctl("export", "phone", check_rc=False)
    check(r.code != 0 and "--endpoint ADDRESS:PORT, or have the coordinator's operator" in r.err, f"export: {r}")
    r = admin.ctl("export", "phone", "--by", "nas", check_rc=False)
    check(r.code != 0 and "strangers do not reach it: forward its UDP port by hand" in r.err, f"export --by: {r}")
    said = admin.ctl("export", "other", "--by", "nas", "--endpoint", f"{lab.lans['home'].public}:51820").out
    check(f"Endpoint = {lab.lans['home'].public}:51820" in said, said)
    nas.stop_daemon()
    nas.configure(f"[peer stock]\npublic-key = {public}\nallowed-ips = 10.99.0.2/32\nphone-port = on\n")
    nas.daemon()
    named(nas, "no phone port: the coordinator gives none", "set_phone_ports")
    host.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin="[relay]\nports = 51000-51999\nphone-ports = 4\n")
    coordinator.restart()
    gone(nas, "no phone port")
    check("Endpoint = " in nas.ctl("export", "phone").out, "export by a phone port")


@scenario
def a_coordinator_that_was_set_up_anew(lab):  # remedy: known_coordinator
    a, b = lab.host("a"), lab.host("b")
    coordinator = lab.coordinator()
    lab.network(coordinator, [a, b])
    state = "/var/lib/p2pvpn-coordinator"
    coordinator.end()
    coordinator.host.run("mv", state, "/run/before")
    coordinator.start()
    a.restart_daemon()
    named(a, "one that was set up anew needs the coordinator.key of before", "known_coordinator")
    coordinator.end()
    coordinator.host.run("sh", "-ec", f"rm -r {state}; mv /run/before {state}")
    coordinator.start()
    gone(a, "cannot reach the coordinator")
    a.wait_peer(b)
