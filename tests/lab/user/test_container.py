# SPDX-License-Identifier: MIT
"""A node in a container, which has no right and a token."""

import json
import os
import shutil

try:
    import yaml
except ImportError:
    yaml = None

from lab import ROOT, USERS, USERS_OWN, Failure, Skip, check, equal, scenario, wait
from talklab import SERVER, send


@scenario
def a_container_needs_nothing_but_a_token(lab):
    """The program that the image of a node runs, where a container of docker's default profile denies all."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root(denied=True)
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite").out.strip()
    server = a.start(a.python, "-c", SERVER, a.addr(), name="server")
    outside = b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    for one in (server, outside):
        wait("the server", lambda o=one: o.text().count("listens") == 3)
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    script = os.path.join(ROOT, "dist/container/p2pvpn-node")
    node = ["env", f"PATH={os.path.dirname(lab.bin('p2pvpnd'))}:/usr/bin:/bin", f"P2PVPN_RUN={home}/r",
            f"P2PVPN_STATE={home}/volume", "P2PVPN_SERVE=8000:127.0.0.1:7000 8001:7001", "P2PVPN_FORWARD=9000:a:7000"]
    r = b.run(*node, "sh", script, check_rc=False, timeout=60)
    check(r.code == 1 and "P2PVPN_TOKEN" in r.err, f"without a token: {r}")

    def is_healthy():
        return b.run(*node, "sh", script, "health", check_rc=False).code == 0
    for given in ([f"P2PVPN_TOKEN={token}", "P2PVPN_NAME=web"], []):  # the second time it is a member
        program = b.start(*node, *given, "sh", script, name="node")
        wait("its health", lambda p=program: p.must_run() or is_healthy())
        addr = b.run(*node, "sh", script, "ip").out.split()[0]
        equal(a.ctl("ip", "web").out.split()[0], addr, "its name")
        wait("members to get in", lambda to=addr: send(a, f"{to}:8000", 10, check_rc=False) == "heard 10")
        wait("the second port", lambda to=addr: send(a, f"{to}:8001", 10, check_rc=False) == "bye")
        wait("the way to a member", lambda: send(b, "127.0.0.1:9000", 10, check_rc=False) == "heard 10")
        mine, b.before = b.before, []
        for name in ("p2pvpnd", "p2pvpnctl"):
            pid = b.run("pgrep", "-u", "65534", "-r", "R,S,D", "-x", name).out.split()[0]
            check("P2PVPN_TOKEN=" not in b.run("cat", f"/proc/{pid}/environ").out, f"the token in {name}'s environment")
        for pid in b.run("pgrep", "-u", "65534", "-r", "R,S,D", "-f", "dist/container/p2pvpn-node").out.split():
            check("P2PVPN_TOKEN=" not in b.run("cat", f"/proc/{pid}/environ").out, "the token in the script's environment")
        b.before = mine
        equal(program.end(), 0, "exit code")
        wait("all to have ended",
             lambda: not a.run("pgrep", "-u", "65534", "-r", "R,S,D", "p2pvpn", check_rc=False).out)
        check(not is_healthy(), "health of what does not run")


class Podman:
    """podman of an ordinary user of this host, who has uids of his own as adduser(8) gives them."""

    def __init__(self, host, image):
        self.host, self.lab, self.n = host, host.lab, 0
        # Over /run and /var/lib podman mounts others, where containers have a network for themselves.
        uid, home = dict(USERS)["alice"], "/home/alice"
        host.run("mount", "-t", "tmpfs", "tmpfs", "/home")
        host.control_groups()
        host.run("sh", "-ec", USERS_OWN, "own", home, str(uid), *host.kept())
        host.run("chmod", "1777", "/var/tmp")  # podman makes its own image for pods there
        host.run("sh", "-ec", "for f in subuid subgid; do echo alice:100000:65536 >/etc/$f; done;"
                 "mkdir -p $0/.config/containers; cat >$0/.config/containers/containers.conf;"
                 "chown -R alice $0", home, stdin=PODMAN)
        # Not without_root(): newuidmap(1), by which podman becomes root in its containers, is setuid.
        host.before = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", "env", f"HOME={home}",
                       f"XDG_RUNTIME_DIR={home}/run", "USER=alice", f"TMPDIR={home}", "DISABLE_HC_SYSTEMD=true",
                       "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        r = host.run("podman", "unshare", "true", check_rc=False)
        if r.code != 0:
            raise Skip(f"rootless podman is denied here: {r.err.strip()}")
        host.run("podman", "load", "-q", "-i", image, timeout=120)

    def node(self, *options):
        """A container of the image in a network of its own, behind slirp4netns as behind a NAT."""
        self.n += 1
        name = f"node{self.n}"
        self.host.run("podman", "run", "-d", "--name", name, "--network", "slirp4netns:allow_host_loopback=true",
                      *options, "p2pvpn-node", timeout=60)

        def is_healthy():
            r = self.host.run("podman", "inspect", "-f", "{{.State.Running}}", name)
            if r.out.strip() != "true":
                raise Failure(f"it has ended: {self.host.run('podman', 'logs', name, check_rc=False)}")
            return self.host.run("podman", "healthcheck", "run", name, check_rc=False).code == 0
        wait(f"the health of {name}", is_healthy, 60)
        return name

    def ctl(self, name, *args):
        return self.host.run("podman", "exec", name, "p2pvpn-node", *args)

    def hears(self, name, address, port):
        """The answer that a program of the container gets there."""
        return self.host.run("podman", "exec", name, "timeout", "10", "bash", "-c", f"cat </dev/tcp/{address}/{port}",
                             check_rc=False).out

    def stop(self, name):
        self.host.run("podman", "stop", "-t", "20", name, timeout=40)
        code = self.host.run("podman", "inspect", "-f", "{{.State.ExitCode}}", name).out.strip()
        equal(code, "0", f"exit code: {self.host.run('podman', 'logs', name, check_rc=False)}")


PODMAN = """
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "netavark"
"""


@scenario(long="needs an image: tests/install/container.sh makes one and runs this")
def rootless_podman_runs_the_image(lab):
    """With a token alone, with the kernel's network, and with NET_ADMIN as the full daemon."""
    image = os.environ.get("PV_LAB_IMAGE")
    if not image:
        raise Skip("no PV_LAB_IMAGE: tests/install/container.sh makes one and runs this")
    for tool in ("podman", "newuidmap", "slirp4netns"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed: scripts/deps long")
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b", lab.lan("lan-b", "profile=port-restricted"))
    podman = Podman(b, image)
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--ephemeral", "--uses", 4).out.strip()
    a.start(a.python, "-c", SERVER, a.addr(), name="server")
    outside = b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    wait("the server", lambda: outside.text().count("listens") == 3)
    given = ["-e", f"P2PVPN_TOKEN={token}", "-e", "P2PVPN_NAME=web", "-e", "P2PVPN_SERVE=8000:10.0.2.2:7000",
             "-e", "P2PVPN_FORWARD=9000:a:7001"]
    for options, stack in ((["--cap-drop=all", "--security-opt", "no-new-privileges"], "lwip"),
                           (["--security-opt", "seccomp=unconfined", "--device", "/dev/net/tun"], "kernel"),
                           (["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"], None)):
        node = podman.node(*given, *options)
        status = json.loads(podman.ctl(node, "status", "--json").out)
        equal(status["stack"], stack, f"who speaks TCP in {node}")
        addr = a.ctl("ip", "web").out.split()[0]
        wait("members to get in", lambda to=addr: send(a, f"{to}:8000", 10, check_rc=False) == "heard 10")
        wait("the way to a member", lambda n=node: podman.hears(n, "127.0.0.1", 9000) == "bye")
        if stack is None:  # all programs of the container are in the network
            check(a.os_ping(addr), "ping")
            equal(podman.hears(node, a.addr(), 7001), "bye", "a program's connection to a member")
        podman.stop(node)
        check("web" not in a.peers(), "an ephemeral member after its end")

    # a member that stays has its keys in a volume, and no token the second time
    token = a.ctl("invite").out.strip()
    for token in (["-e", f"P2PVPN_TOKEN={token}"], []):
        node = podman.node("-v", "node:/var/lib/p2pvpn", "-e", "P2PVPN_NAME=kept", *token)
        wait("it to be there", lambda: (a.peer("kept") or {}).get("online"))
        podman.stop(node)
        check("kept" in a.peers(), "the member after its end")


# A stand-in for the program beside the node in the examples: it says what it is to whoever connects.
APP = ("perl", "-MIO::Socket::INET", "-e", "$| = 1; my $l = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => "
       "shift, Listen => 5, ReuseAddr => 1) or die; while (my $c = $l->accept) { print $c 'the app'; close $c }")


def example(name):
    with open(os.path.join(ROOT, "dist/container", name), encoding="utf-8") as f:
        return f.read()


@scenario(long="needs an image: tests/install/container.sh makes one and runs this")
def the_examples_for_compose_and_kubernetes_run(lab):
    """By podman-compose, and by `podman kube play`, which knows no StatefulSet, but its pod. Other programs are in the
    containers beside the node's, and what podman 4.3 lacks of Kubernetes is made up for."""
    image = os.environ.get("PV_LAB_IMAGE")
    for tool in ("podman", "newuidmap", "slirp4netns", "podman-compose"):  # and netavark, aardvark-dns
        if not image or not yaml or shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed: scripts/deps long" if image else
                       "no PV_LAB_IMAGE: tests/install/container.sh makes one and runs this")
    coordinator = lab.coordinator()
    db, b = lab.host("db"), lab.host("b", lab.lan("lan-b", "profile=port-restricted"))
    Podman(b, image)
    db.daemon()
    db.create(coordinator.url())
    db.start(*APP, "5432", name="database")
    home = b.run("sh", "-c", "echo $HOME").out.strip()

    def serves(name, port):
        wait(f"{name} to be a member", lambda: (db.peer(name) or {}).get("online"), 60)
        addr = db.ctl("ip", name).out.split()[0]
        wait("members to reach its app", lambda: send(db, f"{addr}:{port}", 1, check_rc=False) == "the app", 60)

    app = {"image": "localhost/p2pvpn-node", "entrypoint": [word.replace("$", "$$") for word in (*APP, "80")]}
    project = yaml.safe_load(example("compose.yaml"))
    project["services"]["app"] = app
    project["services"]["node"]["image"] = app["image"]
    b.run("sh", "-c", "mkdir $HOME/web; cat >$HOME/web/compose.yaml", stdin=yaml.safe_dump(project))
    compose = ["env", f"P2PVPN_TOKEN={db.ctl('invite').out.strip()}",
               "podman-compose", "-f", f"{home}/web/compose.yaml"]
    b.run(*compose, "up", "-d", timeout=120)
    serves("web", 8080)
    b.run(*compose, "down", timeout=120)

    stateful = yaml.safe_load(example("sidecar.yaml"))["spec"]
    spec, claims = stateful["template"]["spec"], stateful["volumeClaimTemplates"]
    for container in spec["containers"]:
        container["image"] = app["image"]
    spec["containers"][0]["command"] = [*APP, "3000"]
    spec["volumes"][0]["secret"]["optional"] = False  # podman 4.3 dies where it stands nowhere
    spec["volumes"] += [{"name": c["metadata"]["name"],
                         "persistentVolumeClaim": {"claimName": c["metadata"]["name"]}} for c in claims]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p2pvpn"},
              "data": {"token": db.ctl("invite").out.strip()}}  # podman 4.3 would not decode base64
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}
    for claim in claims:  # podman knows no fsGroup
        b.run("podman", "run", "--rm", "--user", "0", "-v", f"{claim['metadata']['name']}:/var/lib/p2pvpn",
              "--entrypoint", "chown", "p2pvpn-node", str(spec["securityContext"]["fsGroup"]), "/var/lib/p2pvpn", timeout=60)
    b.run("podman", "secret", "create", "p2pvpn", "-", stdin=yaml.safe_dump(secret))
    b.run("podman", "kube", "play", "-", stdin=yaml.safe_dump(pod), timeout=120)
    serves(wait("the pod's node", lambda: [name for name in db.peers() if name != "web"], 60)[0], 8080)
    wait("the app to reach the database", lambda: b.run(
        "podman", "exec", "app-app", "timeout", "10", "bash", "-c", "cat </dev/tcp/127.0.0.1/5432",
        check_rc=False).out == "the app")
