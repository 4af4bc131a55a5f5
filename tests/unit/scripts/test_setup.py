#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Root's work when packages come and go, with users about who were there before.

Every maintainer script runs as root in namespaces and on an overlay of this machine's files, of which nothing
reaches the machine. Users nobody and p2pvpn have prepared everything that they may: processes, links, sockets
and settings.
"""
import grp
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
NOBODY = 65534
NODE, COORDINATOR = "/usr/sbin/p2pvpnd", "/usr/sbin/p2pvpn-coordinator"
OWNERS = {NODE: "p2pvpn", COORDINATOR: "p2pvpn-coordinator"}
INSIDE = "PV_SETUP_INSIDE"

# An empty root that shows this machine's files, and keeps in memory what is written.
OVERLAY = """
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /dev dev
for dir in run tmp var/lib var/backups; do mkdir -p $dir; mount -t tmpfs -o mode=755 tmpfs $dir; done
chmod 1777 tmp
mount --bind "$1" mnt
exec chroot . /usr/bin/env "$2=1" python3 -B /mnt/tests/unit/scripts/test_setup.py "$3"
"""


def write(path, text="", mode=0o644, uid=0, gid=0):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    os.chown(path, uid, gid)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def listen(path, mode):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    os.chmod(path, mode)


def until(true):
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("did not come true")


def seen(top):
    """Owner, mode, kind and content of everything below a directory."""
    result = {}
    for where, dirs, files in os.walk(top):
        for path in [where] + [os.path.join(where, name) for name in dirs + files]:
            st = os.lstat(path)
            what = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what = f.read()
            result[path] = (st.st_uid, st.st_gid, oct(st.st_mode), what)
    return result


@unittest.skipUnless(os.environ.get(INSIDE), "runs inside of Overlay")
class Inside(unittest.TestCase):
    """One machine: each test has an overlay of its own."""

    def setUp(self):
        os.makedirs("/var/lib/misc", exist_ok=True)  # base-files has it
        # The files that dpkg unpacks.
        for package, setup in (("p2pvpn", NODE), ("p2pvpn-coordinator", COORDINATOR)):
            os.makedirs(f"/usr/lib/{package}", exist_ok=True)
            shutil.copy("/mnt/dist/setup", f"/usr/lib/{package}/setup")
            shutil.copy("/usr/bin/sleep", setup)
        shutil.copy("/mnt/nss/p2pvpn-nss", "/usr/sbin/p2pvpn-nss")
        self.children = []
        self.said = ""
        for kind in ("node", "coordinator"):
            self.script(kind, "postinst", "configure")
        write("/tmp/evil.sh", "#!/bin/sh\nid -u >>/tmp/ran\n", 0o755, NOBODY, NOBODY)
        write("/tmp/ran", mode=0o666)

    def tearDown(self):
        for child in self.children:
            child.kill()
            child.wait()

    def script(self, kind, name, *args, fails=False):
        # The PATH of root's shell, which dpkg wants: the systemctl of a test is found before the machine's.
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run([f"/mnt/dist/deb/{kind}-{name}", *args], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False, env={**os.environ, "PATH": path})
        self.said = done.stdout + done.stderr
        self.assertEqual(done.returncode != 0, fails, f"{kind}-{name}: {self.said}")

    def start(self, program, uid):
        """A process of a user's that runs the program, with the arguments that it likes."""
        child = subprocess.Popen(["/tmp/evil.sh", "1000"], executable=program, stdin=subprocess.DEVNULL,
                                 user=uid, group=uid, extra_groups=[])
        self.children.append(child)
        until(lambda: os.readlink(f"/proc/{child.pid}/exe") == program)
        return child

    @staticmethod
    def replace(program):
        """As an upgrade does: another file has the name then."""
        shutil.copy("/usr/bin/sleep", program + ".new")
        os.rename(program + ".new", program)

    @staticmethod
    def lay_traps():
        """Links and sockets wherever users p2pvpn and p2pvpn-coordinator may write, to what is root's."""
        os.makedirs("/root/victim/dir")
        os.makedirs("/run/victim")
        write("/root/victim/key", "secret", 0o600)
        write("/root/victim/dir/file", "of root's")
        listen("/run/victim/root.sock", 0o600)
        for user, place in (("p2pvpn", "/run/p2pvpn"), ("p2pvpn", "/var/lib/p2pvpn"),
                            ("p2pvpn", "/var/lib/p2pvpn-work"),
                            ("p2pvpn-coordinator", "/var/lib/p2pvpn-coordinator")):
            os.makedirs(place)
            os.symlink("/run/victim/root.sock", f"{place}/a.sock")
            os.symlink("/root/victim/key", f"{place}/root.key")
            os.symlink("/root/victim/key", f"{place}/coordinator.key")
            os.symlink("/root/victim/dir", f"{place}/files")
            os.mkfifo(f"{place}/identity.key")
            who = pwd.getpwnam(user)
            for path in [place] + [os.path.join(place, name) for name in os.listdir(place)]:
                os.chown(path, who.pw_uid, who.pw_gid, follow_symlinks=False)

    def victims(self):
        return {**seen("/root/victim"), **seen("/run/victim")}

    def settings(self):
        """Settings that the services may not read, which name files of root's; everybody may write to them."""
        for name in ("p2pvpnd.conf", "work.conf"):
            write(f"/etc/p2pvpn/{name}", "[interface]\nprivate-key-file = /root/victim/key\n", 0o622)
        write("/etc/p2pvpn/coordinator.conf", "[turn-user a]\npassword-file = /root/victim/key\n", 0o622)

    def test_processes(self):
        """No argv of a process whose program was replaced is run, and nobody is signalled."""
        for program, owner in OWNERS.items():
            kind = "node" if program == NODE else "coordinator"
            uids = (NOBODY, pwd.getpwnam(owner).pw_uid)
            children = [self.start(program, uid) for uid in uids]
            self.replace(program)
            self.script(kind, "postinst", "configure", "0.9")
            for child in children:
                self.assertIsNone(child.poll(), f"root has signalled it: {self.said}; ran as {read('/tmp/ran')}")
                self.assertIn(f"process {child.pid} of user ", self.said)
            self.assertNotIn("evil", self.said)
            # The service's own keeps the package from going; any other user's does not.
            self.script(kind, "prerm", "remove", fails=True)
            self.assertIn(f"kill {children[1].pid}", self.said)
            self.assertNotIn(f"kill {children[0].pid}", self.said)
            children[1].kill()
            children[1].wait()
            self.script(kind, "prerm", "remove")
            self.assertIsNone(children[0].poll(), "root has signalled it")
        self.assertEqual(read("/tmp/ran"), "", "root ran what a user chose")

    def test_control_of_processes(self):
        """Control: the trap closes where somebody runs what such a process says of itself."""
        child = self.start(NODE, NOBODY)
        subprocess.run(read(f"/proc/{child.pid}/cmdline").split("\0")[:-1], check=True, timeout=60)
        self.assertEqual(read("/tmp/ran"), "0\n")

    def test_links(self):
        """No script changes, follows or tells what links of the services' users lead to."""
        self.lay_traps()
        self.settings()
        before = self.victims()
        for kind in ("node", "coordinator"):
            for script in (("postinst", "configure", "0.9"), ("prerm", "upgrade"), ("prerm", "remove"),
                           ("postrm", "remove"), ("postrm", "purge")):
                self.script(kind, *script)
                self.assertEqual(self.victims(), before, f"{kind} {script}")
        self.assertEqual(os.listdir("/var/backups"), [])

    def test_settings(self):
        """Settings of root's become readable for the service, in a file that nobody has open for writing."""
        self.settings()
        # pylint: disable=consider-using-with
        held = [open(f"/etc/p2pvpn/{name}", "a", encoding="utf-8") for name in os.listdir("/etc/p2pvpn")]
        os.symlink("/etc/hostname", "/etc/p2pvpn/link.conf")
        write("/etc/p2pvpn/alice.conf", "[log]\n", 0o640, 1000)
        write("/etc/p2pvpn/service.conf", "[log]\n", 0o640, pwd.getpwnam("p2pvpn").pw_uid)
        write("/etc/p2pvpn/home.conf", "[log]\n")
        others = ("/etc/hostname", "/etc/p2pvpn/alice.conf", "/etc/p2pvpn/service.conf")
        alike = [os.lstat(path) for path in others]
        for again in range(2):
            said = ""
            for kind in ("node", "coordinator"):
                self.script(kind, "postinst", "configure", "0.9")
                said += self.said
            for name, user in (("p2pvpnd", "p2pvpn"), ("work", "p2pvpn"), ("coordinator", "p2pvpn-coordinator")):
                self.assertEqual(f"/etc/p2pvpn/{name}.conf is readable for group {user} now" in said, not again, said)
        for f in held:
            f.write("[chat]\nnotify = /bin/sh\n")
            f.close()
        for name, group in (("p2pvpnd", "p2pvpn"), ("work", "p2pvpn"), ("coordinator", "p2pvpn-coordinator")):
            path = f"/etc/p2pvpn/{name}.conf"
            st = os.lstat(path)
            self.assertEqual((st.st_uid, st.st_gid, oct(st.st_mode)),
                             (0, grp.getgrnam(group).gr_gid, oct(stat.S_IFREG | 0o640)), path)
            self.assertIn("-file = /root/victim/key\n", read(path))
            self.assertNotIn("notify", read(path))
        self.assertEqual([os.lstat(path) for path in others], alike)
        self.assertTrue(os.path.islink("/etc/p2pvpn/link.conf"))
        self.assertEqual(said, "", "the second time changes nothing")

    def test_settings_in_others_hands(self):
        """A directory of settings that another user may write to is left alone."""
        self.settings()
        os.chown("/etc/p2pvpn", NOBODY, 0)
        before = seen("/etc/p2pvpn")
        self.script("node", "postinst", "configure", "0.9")
        self.assertIn("left alone", self.said)
        self.assertEqual(seen("/etc/p2pvpn"), before)

    def test_systemd(self):
        """Control: what systemd runs is started anew and stopped, by systemd alone."""
        os.makedirs("/run/systemd/system")
        write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "$*" >>/tmp/asked\n', 0o755)
        for kind, names in (("node", ("p2pvpnd", "p2pvpn-web")), ("coordinator", ("p2pvpn-coordinator",))):
            write("/tmp/asked")
            self.script(kind, "postinst", "configure", "0.9")
            self.assertEqual(read("/tmp/asked"), "".join(
                f"daemon-reload\ntry-restart {name}.service {name}@*.service\n" for name in names))
            write("/tmp/asked")
            self.script(kind, "prerm", "remove")
            for name in names:
                self.assertRegex(read("/tmp/asked"), f"(?m)^stop {name}.service")

    def test_services_of_a_package_that_stays_run_on(self):
        """A process that somebody started by hand keeps the package: dpkg asks for what was stopped."""
        os.makedirs("/run/systemd/system")
        write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "$*" >>/tmp/asked\n'
              'case $* in list-units*) echo "${5%.service}.service loaded active running it" ;; esac\n', 0o755)
        for kind, program, name in (("node", NODE, "p2pvpnd"), ("coordinator", COORDINATOR, "p2pvpn-coordinator")):
            self.start(program, 0)
            self.script(kind, "prerm", "remove", fails=True)
            write("/tmp/asked")
            self.script(kind, "postinst", "abort-remove")
            self.assertRegex(read("/tmp/asked"), f"(?m)^start .*{name}")

    def test_removed_and_installed(self):
        """Units that ran and were enabled when a package was removed do so when it is back, and no others."""
        wants = "/etc/systemd/system/multi-user.target.wants"
        os.makedirs("/run/systemd/system")
        os.makedirs(wants, exist_ok=True)
        write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "$*" >>/tmp/asked\n'
              'case $* in list-units*) cat /tmp/active ;; esac\n', 0o755)
        for kind, unit, other in (("node", "p2pvpnd.service", "p2pvpnd@work.service"),
                                  ("node", "p2pvpn-web.service", None),
                                  ("coordinator", "p2pvpn-coordinator.service", None)):
            units = [unit] + [other] * (other is not None)
            write("/tmp/active", "".join(f"{name} loaded active running a node\n" for name in units))
            for name in units:
                os.symlink(f"/usr/lib/systemd/system/{name}", f"{wants}/{name}")
            self.script(kind, "prerm", "remove")
            self.script(kind, "postrm", "remove")
            write("/tmp/asked")
            self.script(kind, "postinst", "configure", "0.9")
            self.assertIn(f"start {' '.join(units)}\n", read("/tmp/asked"))
            self.assertEqual([name for name in units if not os.path.islink(f"{wants}/{name}")], [])
            write("/tmp/asked")
            self.script(kind, "postinst", "configure", "0.9")
            self.assertNotRegex(read("/tmp/asked"), "(?m)^start")
            # One that nobody ran stays as it is, and purging takes all of it away.
            write("/tmp/active")
            write("/tmp/asked")
            self.script(kind, "prerm", "remove")
            self.script(kind, "postinst", "configure", "0.9")
            self.assertNotRegex(read("/tmp/asked"), "(?m)^start")
            self.script(kind, "prerm", "remove")
            self.script(kind, "postrm", "purge")
            self.assertEqual([name for name in units if os.path.lexists(f"{wants}/{name}")], [])
            self.assertFalse(os.path.exists(f"/var/lib/misc/{unit.removesuffix('.service')}.stopped"))

    def test_names_that_root_took_out_stay_out(self):
        """An upgrade keeps nsswitch.conf as root has it; installing anew puts the names in."""
        def hosts():
            return re.search("(?m)^hosts:.*", read("/etc/nsswitch.conf"))[0]

        def upgrade(how="upgrade"):
            self.script("node", "preinst", how, "0.9")
            self.script("node", "postinst", "configure", "0.9")
            return hosts()

        usual = hosts()
        self.assertIn("p2pvpn", usual)
        self.assertEqual(upgrade(), usual)
        subprocess.run(["p2pvpn-nss", "--first"], check=True, capture_output=True)
        first = hosts()
        self.assertNotEqual(first, usual)
        self.assertEqual(upgrade(), first)
        subprocess.run(["p2pvpn-nss", "--remove"], check=True, capture_output=True)
        self.assertNotIn("p2pvpn", upgrade())
        self.assertNotIn("p2pvpn", upgrade())
        self.script("node", "prerm", "remove")
        self.assertEqual(upgrade("install"), usual)

    def test_names_that_cannot_be_put_in_place(self):
        """A missing or read-only nsswitch.conf is reported, and keeps no package from coming or going."""
        file = "/etc/nsswitch.conf"

        def comes_and_goes():
            for name, *args in (("preinst", "install"), ("postinst", "configure", ""), ("prerm", "remove"),
                                ("postrm", "remove"), ("postrm", "purge")):
                self.script("node", name, *args)
                if name == "postinst":
                    self.assertIn("setup: programs cannot look up members by name", self.said)
        subprocess.run(["p2pvpn-nss", "--remove"], check=True, capture_output=True)
        before = read(file)
        subprocess.run(["mount", "--bind", "-o", "ro", file, file], check=True)
        comes_and_goes()
        self.assertEqual(read(file), before)
        subprocess.run(["umount", file], check=True)
        # Names that are in a file which cannot be changed any longer.
        self.script("node", "postinst", "configure", "")
        self.assertNotIn("cannot look up", self.said)
        subprocess.run(["mount", "--bind", "-o", "ro", file, file], check=True)
        self.script("node", "prerm", "remove")
        self.assertIn("still names p2pvpn", self.said)
        subprocess.run(["umount", file], check=True)
        os.unlink(file)
        comes_and_goes()
        self.assertFalse(os.path.exists(file))

    def test_first_steps(self):
        """The first installation says in two lines what to do next; an upgrade does not."""
        for kind, words in (("node", ("sudo p2pvpnctl join TOKEN", "sudo p2pvpnctl create URL")),
                            ("coordinator", ("sudo p2pvpn-coordinator --public", "systemctl enable --now"))):
            self.script(kind, "postinst", "configure", "")
            self.assertEqual(len(self.said.splitlines()), 2, self.said)
            for line, word in zip(self.said.splitlines(), words):
                self.assertIn(word, line)
            self.script(kind, "postinst", "configure", "0.9")
            self.assertEqual(self.said, "")

    def test_purge_keeps_a_user_that_an_administrator_made(self):
        """Purging deletes the users that the packages made, and no other of the same name."""
        for kind, user in (("node", "p2pvpn"), ("coordinator", "p2pvpn-coordinator")):
            subprocess.run(["userdel", user], check=True, capture_output=True)
            subprocess.run(["useradd", "--system", "--user-group", user], check=True, capture_output=True)
            mine = pwd.getpwnam(user)
            for script in (("postinst", "configure", ""), ("prerm", "remove"), ("postrm", "purge")):
                self.script(kind, *script)
            self.assertEqual(pwd.getpwnam(user), mine)
            grp.getgrnam(user)

    def test_purge(self):
        """Root keys and the coordinator's are kept, readable for root alone; all else goes."""
        for place in ("/var/lib/p2pvpn", "/var/lib/p2pvpn-work", "/var/lib/p2pvpn-coordinator",
                      "/var/lib/p2pvpn-old", "/run/p2pvpn"):
            os.makedirs(place)
            write(f"{place}/p2pvpnd.db", "roster", 0o600)
        self.settings()
        # A coordinator of somebody's own beside the package's.
        os.makedirs("/var/lib/p2pvpn-coordinator-b")
        write("/var/lib/p2pvpn-coordinator-b/coordinator.key", "fourth\n", 0o600)
        write("/etc/p2pvpn/coordinator-b.conf", "# b\n")
        uid = pwd.getpwnam("p2pvpn").pw_uid
        write("/var/lib/p2pvpn/root.key", "first\n", 0o000, uid)
        write("/var/lib/p2pvpn/root.key.-_AZaz09-_AZ", "of before\n", 0o000, uid)
        write("/var/lib/p2pvpn-work/root.key", "second\n", 0o600, uid)
        write("/var/lib/p2pvpn-coordinator/coordinator.key", "third\n", 0o600, uid)
        said = ""
        for kind in ("node", "coordinator"):
            for script in (("prerm", "remove"), ("postrm", "remove"), ("postrm", "purge")):
                self.script(kind, *script)
                said += self.said
        kept = sorted(seen("/var/backups").items())[1:]
        self.assertEqual(sorted((re.sub("[^.]*$", "", path), *what) for path, what in kept),
                         [(f"/var/backups/{name}.", 0, 0, "0o100600", text)
                          for name, text in (("p2pvpn-coordinator.key", b"third\n"),
                                             ("p2pvpn-root.key", b"first\n"),
                                             ("p2pvpn-root.key", b"of before\n"),
                                             ("p2pvpn-work-root.key", b"second\n"))])
        for path, _ in kept:
            self.assertIn(path, said)
        self.assertEqual(sorted(os.listdir("/var/lib")), ["misc", "p2pvpn-coordinator-b", "p2pvpn-old"],
                         "what no settings speak of is somebody's own")
        self.assertEqual(os.listdir("/var/lib/misc"), [])
        self.assertEqual(os.listdir("/etc/p2pvpn"), ["coordinator-b.conf"])
        for user in OWNERS.values():
            self.assertRaises(KeyError, pwd.getpwnam, user)


class Overlay(unittest.TestCase):
    """Each test of Inside, on a machine of its own."""

    def test_inside(self):
        if os.geteuid() != 0:
            self.skipTest("namespaces with mounts need root")
        if shutil.which("useradd") is None:
            self.skipTest("no useradd here, by which accounts are made")
        for name in unittest.TestLoader().getTestCaseNames(Inside):
            with self.subTest(name):
                done = subprocess.run(["unshare", "-mnipuf", "--kill-child", "sh", "-ec", OVERLAY, "sh", ROOT, INSIDE,
                                       f"Inside.{name}"], capture_output=True, text=True, timeout=300,
                                      stdin=subprocess.DEVNULL, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("\nOK\n", done.stderr)
                self.assertNotIn("skipped", done.stderr)


if __name__ == "__main__":
    unittest.main()
