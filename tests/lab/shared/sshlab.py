# SPDX-License-Identifier: MIT
"""The common parts of scenarios about OpenSSH: machines with an /etc/ssh of their own, an sshd on one, and ssh on
another that reads the file of the package."""
from lab import ROOT, wait

CONFIG = f"{ROOT}/dist/ssh/p2pvpn.conf"
KINDS = ("ed25519", "ecdsa", "rsa")


def own_etc_ssh(lab, host):
    """An empty /etc/ssh but for ssh_config, which includes the package's file with the program of this build, as
    Debian's does. Nobody's known_hosts is read."""
    host.run("sh", "-ec", f"""
        mkdir -p /run/etc-ssh/ssh_config.d /run/bin
        mount --bind /run/etc-ssh /etc/ssh
        sed 's,/usr/bin/p2pvpnctl,{lab.bin("p2pvpnctl")},' {CONFIG} >/etc/ssh/ssh_config.d/p2pvpn.conf
        echo 'Include /etc/ssh/ssh_config.d/*.conf' >/etc/ssh/ssh_config
    """)


def make_host_keys(host, kinds=KINDS):
    """New ones in the place of those that are there."""
    for kind in kinds:
        path = f"/etc/ssh/ssh_host_{kind}_key"
        host.run("sh", "-ec", f"rm -f {path} {path}.pub; ssh-keygen -q -N '' -t {kind} -f {path}")


def sshd(host, *keys, port=22):
    """An sshd with these host keys (all of /etc/ssh) that lets root in by the key of authorize()."""
    keys = keys or [f"/etc/ssh/ssh_host_{kind}_key" for kind in KINDS]
    options = [x for key in keys for x in ("-h", key)]
    host.run("mkdir", "-p", "/run/sshd")
    daemon = host.start("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), *options, "-o",
                        "AuthorizedKeysFile=/run/authorized", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o",
                        "PermitRootLogin=yes", "-o", "PidFile=none", "-o",
                        "Subsystem=sftp internal-sftp")
    wait("sshd to listen", lambda: daemon.must_run() or host.listens(port))
    return daemon


def authorize(a, b):
    """Whoever has a may log in as root of b."""
    a.run("sh", "-ec", f"rm -f {a.home}/key*; ssh-keygen -q -t ed25519 -N '' -f {a.home}/key")
    b.run("sh", "-c", "cat >/run/authorized", stdin=a.run("cat", f"{a.home}/key.pub").out)


def login(a, host, *options, strict="yes", by=()):
    """ssh of a asks nothing and knows no key of its own. Its exit code, what the other side says, and the rest."""
    r = a.run(*by, "ssh", *options, "-i", f"{a.home}/key", "-o", f"StrictHostKeyChecking={strict}", "-o",
              "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o",
              "ConnectTimeout=30", f"root@{host}", "hostname", check_rc=False)
    return r.code, r.out.strip(), r.err


def known(a, host):
    """The types of the keys that ssh of a is told for a host. The command never fails, and says nothing else."""
    r = a.ctl("ssh", "known-hosts", host, code=0)
    if r.err:
        raise AssertionError(f"ssh known-hosts {host}: {r.err}")
    lines = [x.split(" ") for x in r.out.splitlines()]
    if any(len(x) != 3 or x[0] != host for x in lines):
        raise AssertionError(f"ssh known-hosts {host}: {r.out}")
    return [x[1] for x in lines]


def accounts(host, *names):
    """Accounts with a shell and a home, and p2pvpnctl at a place that sshd runs programs from."""
    lines = "".join(f"{name}:*:{3000 + i}:{3000 + i}::/run/homes/{name}:/bin/sh\n" for i, name in enumerate(names))
    host.run("sh", "-ec", f"""
        cp /etc/passwd /run/passwd
        cat >>/run/passwd
        mount --bind /run/passwd /etc/passwd
        chmod 755 /run
        mkdir -p /run/bin /run/sshd /etc/ssh/sshd_config.d
        cp {host.lab.bin("p2pvpnctl")} /run/bin/p2pvpnctl
        for name in {" ".join(names)}; do
            mkdir -p /run/homes/$name/.ssh
            chmod 755 /run/homes /run/homes/$name
            chown -R $name /run/homes/$name
        done
    """, stdin=lines)


def debian_sshd(host, *lines, include=True):
    """An sshd with a configuration as Debian's, and no key file of the lab's. It reads it again by SIGHUP."""
    text = ["Include /etc/ssh/sshd_config.d/*.conf"] * include + [
        "UsePAM no", "KbdInteractiveAuthentication no", "PidFile /run/sshd.pid",
        "Subsystem sftp /usr/lib/openssh/sftp-server", *lines]
    host.run("sh", "-ec", "cat >/etc/ssh/sshd_config", stdin="\n".join(text) + "\n")
    daemon = host.start("/usr/sbin/sshd", "-D", "-e", name="sshd")
    wait("sshd to listen", lambda: daemon.must_run() or host.listens(22))
    return daemon


def new_key(host, *words):
    """A key pair in /run/key of the host. Its fingerprint, as sshd has it."""
    host.run("sh", "-ec", f"rm -f {host.home}/key*; ssh-keygen -q -N '' -f {host.home}/key", "sh", *words)
    return host.run("ssh-keygen", "-lf", f"{host.home}/key.pub").out.split()[1]


def ssh_words(host, *options):
    return ["ssh", *options, "-i", f"{host.home}/key", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o",
            "ConnectTimeout=30", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]


def enter(a, user, host, *options, by=(), words=("id", "-un")):
    """Returns who a is on the host after ssh as this user; "": it was not let in."""
    r = a.run(*by, *ssh_words(a, *options), f"{user}@{host}", *words, check_rc=False)
    if r.code not in (0, 255):
        raise AssertionError(f"ssh {user}@{host}: {r}")
    return r.out.strip()
