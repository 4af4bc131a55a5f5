# SPDX-License-Identifier: MIT
"""An exit in use beside other programs that set up networks."""
import shutil
import sys

from exitlab import PORT, Uplink, elsewhere, seen_as, through, use, world
from lab import Skip, check, equal, scenario, wait


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed")


def key(host):
    private = host.run("wg", "genkey").out.strip()
    return private, host.run("wg", "pubkey", stdin=private + "\n").out.strip()


def write(host, path, text):
    host.run("sh", "-c", f"umask 077; cat >{path}", stdin=text)


class Vpn:
    """WireGuard as wg-quick sets it up, between alice and a server that leads on."""

    def __init__(self, lab, alice, allowed):
        need("wg", "wg-quick", "wireguard-go")
        self.alice, self.server = alice, lab.host("server")
        self.server.masked = self.server.ip4  # of what it masquerades
        elsewhere(lab, self.server, 8)
        (mine, my_public), (theirs, their_public) = key(alice), key(self.server)
        write(alice, "/run/wg0.conf", f"""[Interface]
Address = 10.99.0.2/24
PrivateKey = {mine}
[Peer]
PublicKey = {their_public}
AllowedIPs = {allowed}
Endpoint = {self.server.ip4}:51820
""")
        write(self.server, "/run/wg0.conf", f"""[Interface]
Address = 10.99.0.1/24
PrivateKey = {theirs}
ListenPort = 51820
[Peer]
PublicKey = {my_public}
AllowedIPs = 10.99.0.2/32
""")
        self.server.nft("table ip nat {\nchain out {\ntype nat hook postrouting priority 100;\n"
                        'oifname "eth0" masquerade\n}\n}\n')
        self.quick(self.server, "up")

    def quick(self, host, what):
        """The kernel's WireGuard where it has one, else wireguard-go."""
        host.run("env", "WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "wg-quick", what, "/run/wg0.conf")

    def up(self):
        self.quick(self.alice, "up")

    def down(self):
        self.quick(self.alice, "down")

    def works(self, when):
        wait(f"{when}: the other VPN", lambda: self.alice.os_ping("10.99.0.1", timeout=1))


@scenario
def a_vpn_to_one_network(lab):
    """It is there before the exit, or comes later; it ends, and the exit ends: the other goes on."""
    _, home, alice, exit_, web = world(lab)
    vpn = Vpn(lab, alice, "10.99.0.0/24")
    vpn.up()
    vpn.works("before")
    up = Uplink(alice, web)
    use(alice)
    through(alice, exit_, web)
    up.forget()
    vpn.works("beside the exit")
    up.tight("beside the other VPN")
    vpn.down()
    through(alice, exit_, web)
    up.tight("without the other VPN")
    vpn.up()
    vpn.works("begun after the exit")
    through(alice, exit_, web)
    check(alice.os_ping(alice.addr(exit_)), "the overlay")
    up.tight("the other VPN came after the exit")
    alice.ctl("exit", "off")
    wait("the own way", lambda: seen_as(alice, web) == home.public)
    vpn.works("after the exit")


@scenario
def a_vpn_that_takes_everything(lab):
    """As wg-quick takes it, by a policy rule, and as OpenVPN does, by two halves: paths go through it within seconds,
    by UDP, and back when it ends."""
    coordinator = lab.coordinator()
    home = lab.lan("home", "profile=port-restricted", "delay=5ms")
    alice = lab.host("alice", home, ipv6=False)
    bob = lab.host("bob", lab.lan("west", "profile=port-restricted", "delay=5ms"), ipv6=False)
    lab.network(coordinator, [alice, bob])
    alice.wait_peer(bob)
    alice.wait_direct(bob)
    vpn = Vpn(lab, alice, "0.0.0.0/0")

    def seen_from(public, when):
        """Bob sees alice there, packets pass, and nobody says that UDP is blocked."""
        def is_so():
            alice.os_ping(alice.addr(bob), timeout=1)
            path = bob.path(alice)
            return path and path["type"] == "direct" and path["remote"].startswith(public + ":")
        wait(f"{when}: a direct path by {public}", is_so, 30)
        wait(f"{when}: packets", lambda: alice.os_ping(alice.addr(bob), timeout=1))
        equal(alice.json("status")["udp"], "open", f"{when}: UDP")

    for allowed in ("0.0.0.0/0", "0.0.0.0/1, 128.0.0.0/1"):
        alice.run("sed", "-i", f"s#^AllowedIPs.*#AllowedIPs = {allowed}#", "/run/wg0.conf")
        alice.ip(f"route replace {vpn.server.ip4}/32 via {home.subnet4}.1")
        vpn.up()
        seen_from(vpn.server.masked, f"a VPN to {allowed}")
        vpn.down()
        seen_from(home.public, f"without the VPN to {allowed}")
    vpn.up()
    alice.restart_daemon()
    alice.wait_peer(bob, timeout=30)
    seen_from(vpn.server.masked, "begun in the VPN")


def network_manager(host):
    """It has the uplink, as on a laptop: with addresses and a default route of its own. It asks udev about
    interfaces, which has never heard of ours, unless /sys is read-only as in a container."""
    need("NetworkManager", "nmcli", "dbus-daemon")
    host.run("sh", "-c", "mount -t sysfs sysfs /sys; mount -o remount,bind,ro /sys; mkdir -p /run/dbus;"
             "mount -t tmpfs tmpfs /etc/NetworkManager; mkdir -p /etc/NetworkManager/system-connections;"
             "cat >/etc/NetworkManager/NetworkManager.conf",
             stdin="[main]\nplugins=keyfile\ndns=none\nauth-polkit=false\n")
    host.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    wait("the bus", lambda: host.run("test", "-S", "/run/dbus/system_bus_socket", check_rc=False).code == 0)
    host.start("NetworkManager", "--debug", name="NetworkManager")
    wait("NetworkManager", lambda: host.run("nmcli", "general", check_rc=False).code == 0)
    host.run("nmcli", "con", "add", "type", "ethernet", "ifname", "eth0", "con-name", "uplink",
             "ipv4.method", "manual", "ipv4.addresses", f"{host.ip4}/24", "ipv4.gateway", f"{host.lan.subnet4}.1",
             "ipv6.method", "manual", "ipv6.addresses", f"{host.ip6}/64", "ipv6.gateway", f"{host.lan.subnet6}::1")
    host.run("nmcli", "dev", "set", "eth0", "managed", "yes")
    wait("the uplink to be NetworkManager's",
         lambda: host.run("nmcli", "con", "up", "uplink", "ifname", "eth0", check_rc=False).code == 0)
    again(host)


def again(host):
    host.run("nmcli", "con", "up", "uplink")
    wait("NetworkManager's default route", lambda: "proto static" in host.run("ip", "route", "show", "default").out)


@scenario(long="needs NetworkManager: scripts/deps long")
def network_manager_has_the_uplink(lab):
    """It sets the uplink up again, and switches it off and on: traffic goes on by the exit and never beside it."""
    _, home, alice, exit_, web = world(lab)
    network_manager(alice)
    wait("the own way", lambda: seen_as(alice, web) == home.public)
    up = Uplink(alice, web)
    use(alice)
    through(alice, exit_, web)
    up.forget()
    up.tight("in use")
    again(alice)
    up.tight("set up again")
    through(alice, exit_, web)
    alice.run("nmcli", "networking", "off")
    up.tight("off")
    alice.run("nmcli", "networking", "on")
    wait("the default route", lambda: "proto static" in alice.run("ip", "route", "show", "default").out)
    through(alice, exit_, web)
    up.tight("on again")
    alice.ctl("exit", "off")
    wait("the own way again", lambda: seen_as(alice, web) == home.public)
    check("uplink" in alice.run("nmcli", "-t", "-f", "NAME", "con", "show", "--active").out, "the connection is gone")


class Docker:
    """A dockerd of this host's own, with an image that has the machine's own programs."""

    def __init__(self, host):
        need("dockerd", "docker", "containerd", "runc")
        self.host = host
        host.run("sh", "-c", "mkdir -p /run/docker-data /run/image && mount -t tmpfs tmpfs /run/docker-data &&"
                 "cd /run/image && for d in bin lib lib64; do ln -sfn usr/$d $d; done && mkdir -p usr tmp")
        host.control_groups()
        self.start()
        host.run("sh", "-c", "tar -C /run/image -c . | docker import - own")

    def start(self):
        self.program = self.host.start(
            "dockerd", "--data-root", "/run/docker-data", "--exec-root", "/run/docker-exec", "--pidfile",
            "/run/docker-pid", "--storage-driver", "vfs", "--shutdown-timeout", "1", "--exec-opt",
            "native.cgroupdriver=cgroupfs", name="dockerd")
        wait("dockerd", lambda: self.host.run("docker", "info", check_rc=False).code == 0)

    def restart(self):
        self.program.end()
        self.start()

    def start_container(self, *options_and_argv):
        """Options begin with a hyphen and have a value each."""
        argv = list(options_and_argv)
        options = []
        while argv[0].startswith("-"):
            options += [argv.pop(0), argv.pop(0)]
        return self.host.start("docker", "run", "--rm", "--stop-timeout", "1", "-v", "/usr:/usr:ro", *options, "own",
                               *argv, name="container")


# Sends all the time, and says each address that the server saw.
ASK = """
import socket, sys, threading
pause = threading.Event()
to = (sys.argv[1], int(sys.argv[2]))
while True:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.3)
    try:
        s.sendto(b'x', to)
        print(s.recv(200).decode().split()[0].replace('::ffff:', ''), flush=True)
    except OSError:
        print('nothing', flush=True)
    s.close()
    pause.wait(0.05)
"""


class Container:
    """One that sends all the time."""

    def __init__(self, docker, web):
        self.program = docker.start_container("/usr/bin/python3", "-c", ASK, web.ip4, str(PORT))

    def seen_as(self, address, when):
        """From now on, for three answers."""
        known = len(self.program.text().splitlines())
        wait(f"{when}: the container to be seen as {address}",
             lambda: self.program.text().splitlines()[known:][-3:] == [address] * 3)


@scenario(long="needs docker: scripts/deps long")
def docker_where_an_exit_is_used(lab):
    """Containers go by the exit as well, and nothing of theirs beside it; what they publish members can reach."""
    _, home, alice, exit_, web = world(lab)
    docker = Docker(alice)
    inside = Container(docker, web)
    inside.seen_as(home.public, "before")
    use(alice, "--block")
    through(alice, exit_, web)
    up = Uplink(alice, web)
    inside.seen_as(exit_.ip4, "by the exit")
    up.tight("containers beside the exit")
    docker.start_container("-p", "8080:8080", "/usr/bin/python3", "-m", "http.server", "8080")
    fetch = "import urllib.request as u; print(u.urlopen('http://%s:8080/', timeout=2).status)" % exit_.addr(alice)
    wait("a published port over the overlay",
         lambda: exit_.run(sys.executable, "-c", fetch, check_rc=False).out.strip() == "200")
    exit_.p2pvpnd.kill()
    up.tight("the exit died")
    docker.restart()
    up.tight("dockerd was started again")
    exit_.daemon()
    through(alice, exit_, web)
    inside = Container(docker, web)
    inside.seen_as(exit_.ip4, "after dockerd's restart")
    up.tight("at the end")
    alice.ctl("exit", "off")
    inside.seen_as(home.public, "after the exit")


@scenario(long="needs docker: scripts/deps long")
def docker_at_the_exit(lab):
    """It drops what is forwarded; the command that status gives lets members through, also after its restart."""
    dockers = []
    _, _, alice, exit_, web = world(lab, lambda host: dockers.append(Docker(host)))
    use(alice)

    def remedy():
        lines = [x for x in exit_.ctl("status", "-l").out.splitlines() if x.startswith("problem") and "DOCKER-USER" in x]
        return "iptables" + lines[0].split("iptables", 1)[1] if lines else ""
    wait("the remedy", remedy)
    equal(seen_as(alice, web), None, "dropped by docker's rules: alice")
    exit_.run("sh", "-c", remedy())
    through(alice, exit_, web)
    dockers[0].restart()
    through(alice, exit_, web)
    check(not remedy(), "the problem stays")
    Container(dockers[0], web).seen_as(exit_.ip4, "at the exit itself")
