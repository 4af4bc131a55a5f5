# SPDX-License-Identifier: MIT
"""An exit in use beside other programs that set up networks."""
import shutil

from exitlab import Uplink, seen_as, through, use, world
from lab import Skip, check, scenario, wait


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
        wait(f"{when}: the other VPN", lambda: self.alice.os_ping("10.99.0.1", timeout=1), 15)


@scenario
def a_vpn_to_one_network(lab):
    """It is there before the exit, or comes later; it ends, and the exit ends: the other goes on."""
    _, home, alice, exit_, web = world(lab)
    vpn = Vpn(lab, alice, "10.99.0.0/24")
    vpn.up()
    vpn.works("before")
    up = Uplink(alice, web)
    use(alice)
    up.forget()
    through(alice, exit_, web)
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
