#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""dist/repository: it replaces what it made and nothing of anybody else's. In a copy of its own, with a made-up package
and a key that ends with the test."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
NEEDED = ("gpg", "gpgconf", "apt-ftparchive", "dpkg-deb", "dpkg")


@unittest.skipUnless(all(shutil.which(p) for p in NEEDED), "needs " + ", ".join(NEEDED))
class Repository(unittest.TestCase):
    def setUp(self):
        # Short: the socket of gpg's agent lies below it.
        self.tree = tempfile.TemporaryDirectory(prefix="repo.", dir="/tmp")
        self.key = self.at("data/p2pvpn/repository-key")
        os.makedirs(self.at("dist"))
        for name in ("repository", "repository.html"):
            shutil.copy(os.path.join(ROOT, "dist", name), self.at("dist"))
        self.pack("bookworm", "amd64")

    def pack(self, suite, arch):
        self.write("deb/DEBIAN/control", f"Package: p2pvpn\nVersion: 1\nArchitecture: {arch}\nMaintainer: x\n"
                                         "Description: x\n")
        os.makedirs(self.at(f"build/packages/{suite}"), exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", self.at("deb"),
                        self.at(f"build/packages/{suite}/p2pvpn_1_{arch}.deb")], check=True, capture_output=True)

    def tearDown(self):
        for home in (self.key, self.at("www/data/p2pvpn/repository-key")):
            if os.path.isdir(home):
                subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)
        self.tree.cleanup()

    def at(self, path):
        return os.path.join(self.tree.name, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, path):
        with open(self.at(path), encoding="utf-8") as f:
            return f.read()

    def make(self, *args, data="data"):
        """Its words and its exit code."""
        env = {"PATH": os.environ["PATH"], "HOME": self.tree.name, "XDG_DATA_HOME": self.at(data)}
        r = subprocess.run([self.at("dist/repository"), *args], env=env, capture_output=True, text=True, check=False)
        return r.stdout + r.stderr, r.returncode

    def refuses(self, word, *args, data="data"):
        said, code = self.make(*args, data=data)
        self.assertEqual(code, 1, said)
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
        key, page = self.read("www/p2pvpn.asc"), self.read("www/index.html")
        self.assertIn("https://apt.example.org/p2pvpn.asc", page)
        # The fingerprint stands before the line that installs.
        self.assertLess(page.index("gpg --show-keys"), page.index("apt install"))
        self.write("www/robots.txt", "mine")
        os.remove(self.at("www/index.html"))
        said, code = self.make(self.at("www"), "https://apt.example.org")
        self.assertEqual(code, 0, said)
        self.assertEqual(self.read("www/p2pvpn.asc"), key)
        self.assertEqual(self.read("www/index.html"), page)
        self.assertEqual(self.read("www/robots.txt"), "mine")

    def test_each_suite_has_its_lists_for_each_architecture_and_is_signed(self):
        for suite, arch in (("bookworm", "arm64"), ("trixie", "amd64"), ("trixie", "arm64")):
            self.pack(suite, arch)
        said, code = self.make(self.at("www"), "https://apt.example.org")
        self.assertEqual(code, 0, said)
        os.makedirs(self.at("anybody"), 0o700)
        gpg = ["gpg", "--homedir", self.at("anybody"), "--no-autostart", "--batch"]
        subprocess.run([*gpg, "--import", self.at("www/p2pvpn.asc")], check=True, capture_output=True)
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


if __name__ == "__main__":
    unittest.main()
