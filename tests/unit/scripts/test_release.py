#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/release: it replaces what it made and nothing of anybody else's, and what it prints installs only what it
signed. In a copy of its own, with a made-up package and a key that ends with the test."""
import email.utils
import hashlib
import html
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
NEEDED = ("gpg", "gpgconf", "gpgv", "apt-ftparchive", "dpkg-deb", "dpkg", "git")

# A program that asks people for a passphrase, as gpg's agent speaks with it.
PINENTRY = """#!/bin/sh
echo OK
while read -r word rest; do
    [ "$word" != GETPIN ] || echo "D open sesame"
    echo OK
done
"""


@unittest.skipUnless(all(shutil.which(p) for p in NEEDED), "needs " + ", ".join(NEEDED))
class Release(unittest.TestCase):
    def setUp(self):
        # Short: the socket of gpg's agent lies below it.
        self.tree = tempfile.TemporaryDirectory(prefix="repo.", dir="/tmp")
        self.key = self.at("data/p2pvpn/repository-key")
        for name in ("dist/release.html", "scripts/release"):
            os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), self.at(name))
        # In place of what builds for minutes.
        self.write("scripts/package", "#!/bin/sh\n"
                   'case ${1:-} in version) echo 1.2 ;; *) echo "package $*" >>"${0%/*}/../asked" ;; esac\n', 0o755)
        self.pack("bookworm", "amd64")

    def pack(self, suite, arch):
        self.write("deb/DEBIAN/control", f"Package: p2pvpn\nVersion: 1\nArchitecture: {arch}\nMaintainer: x\n"
                                         "Description: x\n")
        os.makedirs(self.at(f"build/packages/{suite}-{arch}/node"), exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", self.at("deb"),
                        self.at(f"build/packages/{suite}-{arch}/node/p2pvpn_1_{arch}.deb")], check=True, capture_output=True)

    def tearDown(self):
        for home in (self.key, self.at("mine"), self.at("kept"), self.at("root/p2pvpn/repository-key")):
            if os.path.isdir(home):
                subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)
        self.tree.cleanup()

    def at(self, path):
        return os.path.join(self.tree.name, path)

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.at(path), mode)

    def read(self, path, binary=False):
        with open(self.at(path), "rb" if binary else "r", encoding=None if binary else "utf-8") as f:
            return f.read()

    def make(self, *args, data="data", cwd=None, **more):
        """Its words and its exit code."""
        env = {"PATH": os.environ["PATH"], "HOME": self.tree.name, "XDG_DATA_HOME": self.at(data), **more}
        r = subprocess.run([self.at("scripts/release"), *args], env=env, cwd=cwd, capture_output=True, text=True,
                           check=False)
        return r.stdout + r.stderr, r.returncode

    def makes(self, *args, **more):
        said, code = self.make(*args, **more)
        self.assertEqual(code, 0, said)
        return said

    def refuses(self, word, *args, data="data", code=1):
        said, is_code = self.make(*args, data=data)
        self.assertEqual(is_code, code, said)
        self.assertIn(word, said)

    def test_a_directory_with_other_files_is_refused_and_left_as_it_is(self):
        self.write("www/index.html", "my site")
        self.write("www/static/style.css", "p {}")
        self.refuses("is no repository of p2pvpn", self.at("www"))
        self.assertEqual(self.read("www/index.html"), "my site")
        self.assertEqual(self.read("www/static/style.css"), "p {}")
        self.assertEqual(sorted(os.listdir(self.at("www"))), ["index.html", "static"])

    def test_its_own_is_made_anew_and_other_files_in_it_stay(self):
        os.makedirs(self.at("www/.new.interrupted"))
        said, code = self.make(self.at("www"), "https://apt.example.org")
        self.assertEqual(code, 0, said)
        key, page = self.read("www/p2pvpn.gpg", True), self.read("www/index.html")
        self.assertIn("https://apt.example.org/p2pvpn.gpg", page)
        # The fingerprint stands before the line that installs.
        self.assertLess(page.index("gpg --show-keys"), page.index("apt install"))
        self.write("www/robots.txt", "mine")
        os.remove(self.at("www/index.html"))
        said, code = self.make(self.at("www"), "https://apt.example.org")
        self.assertEqual(code, 0, said)
        self.assertEqual(self.read("www/p2pvpn.gpg", True), key)
        self.assertEqual(self.read("www/index.html"), page)
        self.assertEqual(self.read("www/robots.txt"), "mine")

    def test_each_suite_has_its_lists_for_each_architecture_and_is_signed(self):
        for suite, arch in (("bookworm", "arm64"), ("trixie", "amd64"), ("trixie", "arm64")):
            self.pack(suite, arch)
        said, code = self.make(self.at("www"), "https://apt.example.org")
        self.assertEqual(code, 0, said)
        os.makedirs(self.at("anybody"), 0o700)
        gpg = ["gpg", "--homedir", self.at("anybody"), "--no-autostart", "--batch"]
        subprocess.run([*gpg, "--import", self.at("www/p2pvpn.gpg")], check=True, capture_output=True)
        for number, suite in (("12", "bookworm"), ("13", "trixie")):
            for arch in ("amd64", "arm64"):
                self.assertEqual(self.read(f"www/dists/{suite}/main/binary-{arch}/Packages").count("Architecture: "), 1)
                self.assertIn(f"Filename: pool/{suite}/p2pvpn_1_{arch}.deb\n",
                              self.read(f"www/dists/{suite}/main/binary-{arch}/Packages"))
            subprocess.run([*gpg, "--verify", self.at(f"www/dists/{suite}/InRelease")], check=True, capture_output=True)
            self.assertIn("Signed-By: ", self.read(f"www/{number}.sources"))
            self.assertIn(f"main/binary-{arch}/Packages", self.read(f"www/dists/{suite}/InRelease"))

    def test_a_first_run_that_was_interrupted_is_made_up_for(self):
        os.makedirs(self.key, 0o700)
        said, code = self.make(self.at("www"))
        self.assertEqual(code, 0, said)
        # But a key that is there is never replaced by another one.
        os.remove(os.path.join(self.key, "pubring.kbx"))
        self.refuses("there is a key", self.at("www"))

    def test_a_key_that_would_be_served_is_not_made(self):
        self.refuses("private key", self.at("www"), data="www/data")
        self.assertFalse(os.path.exists(self.at("www")))

    def test_a_url_that_a_command_line_would_take_apart_is_refused(self):
        for url in ("https://x/?a&b", "https://x/#b", "https://x/a b", "https://x/$(id)", "https://x/'", 'https://x/"'):
            self.refuses("has a character", self.at("www"), url)
        self.assertFalse(os.path.exists(self.at("www")))

    def test_another_key_than_the_one_that_machines_have_is_refused(self):
        self.makes(self.at("www"))
        key, lists = self.read("www/p2pvpn.gpg", True), self.read("www/dists/bookworm/InRelease")
        self.refuses("is signed by the key", self.at("www"), data="root")
        shutil.rmtree(self.at("root"), ignore_errors=True)
        subprocess.run(["gpgconf", "--homedir", self.key, "--kill", "gpg-agent"], check=False)
        shutil.move(self.key, self.at("kept"))
        self.makes(self.at("second"))
        self.refuses("this one in", self.at("www"))
        self.write("www/p2pvpn.gpg", "no key")
        self.refuses("gpg reads no key in", self.at("www"))
        with open(self.at("www/p2pvpn.gpg"), "wb") as f:
            f.write(key)
        # gpg has no home of its own to look at a key with.
        said, code = self.make(self.at("www"), HOME="/proc/nonexistent")
        self.assertEqual(code, 1, said)
        self.assertIn("this one in", said)
        self.assertEqual(self.read("www/dists/bookworm/InRelease"), lists)

    def test_a_passphrase_of_a_key_of_ones_own_is_asked_for(self):
        home = self.at("mine")
        os.makedirs(home, 0o700)
        self.write("pinentry", PINENTRY)
        os.chmod(self.at("pinentry"), 0o755)
        self.write("mine/gpg-agent.conf", f"pinentry-program {self.at('pinentry')}\nmax-cache-ttl 0\n")
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        subprocess.run([*gpg, "--pinentry-mode", "loopback", "--passphrase", "open sesame", "--quick-generate-key",
                        "me <me@p2pvpn.invalid>", "ed25519", "sign", "never"], check=True, capture_output=True)
        listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True)
        key = next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:"))
        said = self.makes(self.at("www"), GNUPGHOME=home, PV_SIGN_KEY=key)
        self.assertIn(f"signed by {key}", said)

    def test_packages_that_are_served_and_not_built_any_more_are_not_dropped(self):
        self.pack("trixie", "amd64")
        self.write("build/packages/static/p2pvpn-amd64", "program")
        self.makes(self.at("www"))
        shutil.move(self.at("build/packages/trixie-amd64"), self.at("kept"))
        self.refuses("has packages for trixie on amd64", self.at("www"))
        self.assertIn("Filename", self.read("www/dists/trixie/main/binary-amd64/Packages"))
        # Nor an architecture of a suite that is built.
        self.pack("trixie", "arm64")
        self.refuses("has packages for trixie on amd64", self.at("www"))
        shutil.rmtree(self.at("build/packages/trixie-arm64"))
        os.remove(self.at("www/pool/trixie/p2pvpn_1_amd64.deb"))
        shutil.rmtree(self.at("build/packages/static"))
        self.refuses("has static programs for amd64", self.at("www"))
        self.assertEqual(self.read("www/static/p2pvpn-amd64"), "program")
        os.remove(self.at("www/static/p2pvpn-amd64"))
        self.makes(self.at("www"))
        self.assertFalse(os.path.exists(self.at("www/dists/trixie")))
        self.assertFalse(os.path.exists(self.at("www/13.sources")))

    def test_the_page_promises_what_is_there(self):
        self.makes(self.at("www"))
        page = self.read("www/index.html")
        self.assertIn("Debian (12, bookworm: amd64)", page)
        self.assertNotIn("static", page)
        self.assertNotIn("@", page)
        self.assertIn("Architectures: amd64\n", self.read("www/dists/bookworm/Release"))
        self.assertFalse(os.path.exists(self.at("www/dists/bookworm/main/binary-arm64")))
        self.pack("bookworm", "arm64")
        self.pack("trixie", "amd64")
        self.write("build/packages/static/p2pvpn-arm64", "program")
        self.makes(self.at("www"))
        page = self.read("www/index.html")
        self.assertIn("Debian (12, bookworm: amd64 and arm64; 13, trixie: amd64)", page)
        self.assertIn(f"curl -fO 'file://{self.at('www')}/{{p2pvpn.gpg,SHA256SUMS,SHA256SUMS.asc,static/p2pvpn-arm64}}'",
                      page)
        self.write("build/packages/static/p2pvpn-amd64", "program")
        self.makes(self.at("www"))
        page = self.read("www/index.html")
        self.assertIn("On arm64 replace each p2pvpn-amd64 by p2pvpn-arm64.", page)
        self.assertIn("sudo install p2pvpn-amd64 ", page)
        self.assertNotIn("@", page)

    def test_a_directory_is_one_from_where_one_stands(self):
        os.makedirs(self.at("srv"))
        self.makes("www", "https://apt.example.org", cwd=self.at("srv"))
        self.assertTrue(os.path.exists(self.at("srv/www/p2pvpn.gpg")))

    def test_a_url_is_one_that_apt_takes(self):
        self.refuses("is it https://apt.example.org?", self.at("www"), "apt.example.org")
        self.refuses("does not begin with https://", self.at("www"), "https://")
        self.makes(self.at("www"), "https://apt.example.org/")
        self.assertIn("URIs: https://apt.example.org\n", self.read("www/12.sources"))
        self.assertNotIn("org//", self.read("www/index.html"))

    def paste(self, said):
        """Runs the lines that a release printed, as somebody else; returns what they installed."""
        lines = said[said.index("    curl "):].splitlines()[:3]
        shutil.rmtree(self.at("other"), ignore_errors=True)
        self.write("other/bin/sudo", f'#!/bin/sh\ncp "$2" {self.at("other/installed")}\n', 0o755)
        # The URL is a file's: each name in braces is a file there.
        self.write("other/bin/curl", "#!/bin/bash\neval \"cp $(echo ${2#file://}) .\"\n", 0o755)
        env = {"PATH": self.at("other/bin") + ":" + os.environ["PATH"], "HOME": self.at("other")}
        r = subprocess.run(["sh", "-c", "\n".join(lines)], cwd=self.at("other"), env=env, capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, check=False)
        installed = os.path.exists(self.at("other/installed"))
        self.assertEqual(installed, r.returncode == 0, r)
        return self.read("other/installed") if installed else None

    def test_the_lines_to_paste_install_only_what_was_signed(self):
        self.write("build/packages/static/p2pvpn-amd64", "program")
        said = self.makes(self.at("www"))
        self.assertEqual(self.paste(said), "program")
        self.assertIn(html.escape(said[said.index("curl -fO"):].splitlines()[0]).replace("&#x27;", "'"),
                      self.read("www/index.html"))
        self.write("www/static/p2pvpn-amd64", "another program")
        self.assertIsNone(self.paste(said))
        sums = self.read("www/SHA256SUMS")
        other = hashlib.sha256(b"another program").hexdigest()
        self.write("www/SHA256SUMS", re.sub(r"\S+(?=  p2pvpn-amd64)", other, sums))
        self.assertIsNone(self.paste(said))
        # Another key signs it all, and the server serves that one.
        for name in ("SHA256SUMS", "static/p2pvpn-amd64"):
            shutil.copy(self.at("www/" + name), self.at(os.path.basename(name)))
        self.makes(self.at("fake"), data="mine")
        fake = ["gpg", "--homedir", self.at("mine/p2pvpn/repository-key"), "--batch", "--quiet", "--yes"]
        subprocess.run([*fake, "--armor", "--detach-sign", "--output", self.at("www/SHA256SUMS.asc"),
                        self.at("www/SHA256SUMS")], check=True, capture_output=True)
        shutil.copy(self.at("fake/p2pvpn.gpg"), self.at("www/p2pvpn.gpg"))
        self.assertIsNone(self.paste(said))
        # Without the fingerprint that was passed on they would be taken.
        self.assertEqual(self.paste(re.sub("VALIDSIG[^']*", "VALIDSIG", said)), "another program")
        subprocess.run(["gpgconf", "--homedir", self.at("mine/p2pvpn/repository-key"), "--kill", "gpg-agent"], check=False)

    def test_everything_is_built_and_the_source_is_what_was_committed(self):
        git = ["git", "-C", self.tree.name, "-c", "user.name=me", "-c", "user.email=me@p2pvpn.invalid"]
        self.write(".gitignore", "*\n!/.gitignore\n!/README.md\n")
        self.write("README.md", "hello\n")
        for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
            subprocess.run([*git, *args], check=True, capture_output=True)
        self.makes(self.at("www"))
        self.assertEqual(self.read("asked"), "package \npackage static\n")
        with tarfile.open(self.at("www/source/p2pvpn-1.2.tar.gz")) as tar:
            self.assertEqual(tar.extractfile("p2pvpn-1.2/README.md").read(), b"hello\n")
        sums = self.read("www/SHA256SUMS")
        for name in ("pool/bookworm/p2pvpn_1_amd64.deb", "source/p2pvpn-1.2.tar.gz"):
            digest = hashlib.sha256(self.read(f"www/{name}", True)).hexdigest()
            self.assertIn(f"{digest}  {os.path.basename(name)}\n", sums)
        self.assertIn('href="source/p2pvpn-1.2.tar.gz"', self.read("www/index.html"))
        self.write("README.md", "changed\n")
        self.refuses("not committed", self.at("www"))
        self.makes("--built", self.at("www"))
        self.assertEqual(self.read("asked"), "package \npackage static\n")
        self.assertEqual(self.read("www/SHA256SUMS"), sums)

    def test_lists_expire(self):
        def days():
            words = re.search("(?m)^Date: (.*)$[^$]*?^Valid-Until: (.*)$", self.read("www/dists/bookworm/InRelease"))
            first, last = (email.utils.parsedate_to_datetime(words.group(n).replace("UTC", "+0000")) for n in (1, 2))
            return round((last - first).total_seconds() / 86400)
        self.makes(self.at("www"))
        self.assertEqual(days(), 90)
        self.assertIn("run scripts/release", self.makes("--built", self.at("www"), PV_VALID_DAYS="7"))
        self.assertEqual(days(), 7)
        for wrong in ("0", "a week", "-1"):
            said, code = self.make(self.at("www"), PV_VALID_DAYS=wrong)
            self.assertEqual(code, 1)
            self.assertIn("not a number of days", said)

    def test_http_is_warned_of(self):
        for url, warned in (("http://apt.example.org", True), ("https://apt.example.org", False)):
            self.assertEqual("warning: over http://" in self.makes(self.at("www"), url), warned)

    def test_words_that_are_missing_or_too_many_are_said(self):
        self.refuses("name the directory", code=2)
        self.refuses("one word too many", self.at("www"), "https://x.example", "now", code=2)
        self.assertFalse(os.path.exists(self.at("www")))

if __name__ == "__main__":
    unittest.main()
