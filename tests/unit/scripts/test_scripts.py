#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Scripts that people type: what they say about themselves, what p2pvpn-nss makes of a line, and what
scripts/corpus keeps."""
import fcntl
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import yaml
except ImportError:
    yaml = None

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))


def run(*argv):
    return subprocess.run([os.path.join(ROOT, argv[0]), *argv[1:]], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, check=False)


class Usage(unittest.TestCase):
    """Help and typing errors are answered before anything is installed or built."""

    def test_help(self):
        for script in ("scripts/test", "scripts/demo", "scripts/deps", "scripts/corpus", "nss/p2pvpn-nss"):
            for flag in ("-h", "--help"):
                r = run(script, flag)
                self.assertEqual((r.returncode, r.stderr), (0, ""), script)
                self.assertIn("usage: ", r.stdout)
                self.assertNotIn("== deps", r.stdout)
                self.assertNotIn("set -eu", r.stdout)

    def test_a_missing_thing_is_named(self):
        for name in ("unt", "unit/nothing", "sim/nothing", "fuzz/nothing", "lab/nothing", "unit/check_nothing", "unit/check-nothing"):
            r = run("scripts/test", name)
            self.assertEqual(r.returncode, 2, name)
            self.assertIn(name, r.stderr)
            self.assertEqual(r.stdout, "", name)
        for argv in (["scripts/demo", "--kep"], ["scripts/deps", "tests"], ["nss/p2pvpn-nss", "--fist"]):
            self.assertEqual(run(*argv).returncode, 2, argv)


class Desktop(unittest.TestCase):
    """The example for [chat] notify shows a text of others as it was written."""

    def test_notify_desktop(self):
        self.shown("--icon=/x <b>&amp;</b> $(id)", "--icon=/x &lt;b&gt;&amp;amp;&lt;/b&gt; $(id)")
        self.shown("/me waves", "* waves")

    def shown(self, said, text):
        with tempfile.TemporaryDirectory() as d:
            fake = os.path.join(d, "notify-send")
            with open(fake, "w", encoding="utf-8") as f:
                f.write('#!/bin/sh\nprintf "%s\\n" "$DBUS_SESSION_BUS_ADDRESS" "$@"\n')
            os.chmod(fake, 0o755)
            r = subprocess.run([os.path.join(ROOT, "dist/examples/notify-desktop")], text=True, capture_output=True,
                               input=said, timeout=60, check=True,
                               env={"PATH": f"{d}:{os.environ['PATH']}", "P2PVPN_FROM": "?pi", "P2PVPN_ROOM": "#crew"})
        self.assertEqual(r.stdout.splitlines(), [
            f"unix:path=/run/user/{os.getuid()}/bus", "--app-name=p2pvpn", "--", "?pi in #crew",
            text])


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


@unittest.skipUnless(yaml, "needs python3-yaml")
class ContainerExamples(unittest.TestCase):
    """The examples for compose and Kubernetes are whole, give no right that a node does not need, and say what the image
    understands."""

    SCRIPT = text_of("dist/container/p2pvpn-node")
    STATE = re.search(r"P2PVPN_STATE:-([^}]+)", SCRIPT).group(1)

    def load(self, name):
        class Strict(yaml.SafeLoader):  # a key that stands twice is a mistake, and YAML takes the last
            def construct_mapping(self, node, deep=False):
                keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
                assert len(keys) == len(set(keys)), f"twice in {name}: {keys}"
                return super().construct_mapping(node, deep)
        text = text_of(f"dist/container/{name}")
        return text, yaml.load(text, Strict)

    def check_words(self, given):
        known = set(re.findall(r"^# (P2PVPN_\w+)", self.SCRIPT, re.M))
        self.assertLessEqual(set(given), known)
        for word in given.get("P2PVPN_SERVE", "").split():
            self.assertRegex(word, r"^\d+:([a-z0-9.-]+:)?\d+$")
        for word in given.get("P2PVPN_FORWARD", "").split():
            self.assertRegex(word, r"^\d+:[a-z0-9.-]+:\d+$")

    def test_compose(self):
        text, project = self.load("compose.yaml")
        node = project["services"]["node"]
        self.check_words(node["environment"])
        self.assertIn(f"--target node -t {node['image']} .", text)
        self.assertIn("AS node\n", text_of("Dockerfile"))
        served = node["environment"]["P2PVPN_SERVE"].split(":")[1]
        self.assertIn(served, project["services"], "it serves a service")
        volume, path = node["volumes"][0].split(":")
        self.assertEqual((path, volume in project["volumes"]), (self.STATE, True))
        self.assertEqual((node["cap_drop"], node["security_opt"]), (["ALL"], ["no-new-privileges:true"]))
        self.assertFalse({"cap_add", "devices", "privileged", "ports", "network_mode"} & set(node))

    def test_sidecar(self):
        text, one = self.load("sidecar.yaml")
        spec = one["spec"]["template"]["spec"]
        node = next(c for c in spec["containers"] if c["name"] == "node")
        given = {e["name"]: e["value"] for e in node["env"]}
        self.check_words(given)
        self.assertEqual(one["spec"]["selector"]["matchLabels"], one["spec"]["template"]["metadata"]["labels"])
        mounts = {m["name"]: m["mountPath"] for m in node["volumeMounts"]}
        claims = [c["metadata"]["name"] for c in one["spec"]["volumeClaimTemplates"]]
        volumes = {v["name"]: v for v in spec["volumes"]}
        self.assertEqual(set(mounts), set(claims) | set(volumes))
        self.assertEqual([mounts[name] for name in claims], [self.STATE])
        secret = volumes["token"]["secret"]["secretName"]
        key = re.search(rf"secret generic {secret} --from-literal=(\w+)=", text).group(1)
        self.assertEqual(given["P2PVPN_TOKEN_FILE"], f"{mounts['token']}/{key}")
        # /token/token is root's and the group's, as fsGroup makes it
        self.assertEqual(volumes["token"]["secret"]["defaultMode"] & 0o7, 0)
        self.assertEqual(spec["securityContext"]["fsGroup"], spec["securityContext"]["runAsGroup"])
        health = json.loads(re.search(r"HEALTHCHECK .* CMD (.*)", text_of("Dockerfile")).group(1))
        self.assertEqual(node["livenessProbe"]["exec"]["command"], health)
        self.assertEqual(node["securityContext"],
                         {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}})
        # one user in both containers, whom a forward lets in
        self.assertIn("runAsUser", spec["securityContext"])
        self.assertFalse([c["name"] for c in spec["containers"] if "runAsUser" in c.get("securityContext", {})])


class Patience(unittest.TestCase):
    """scripts/demo says every ten seconds what it waits for, and keeps the command's exit code."""

    # A command that ends at the 450th look, with 3; sleep takes no time here.
    LOOKS = """
looks=0
sleep() { looks=$((looks + 1)); [ $looks -lt 450 ] || echo end >&9; }
mkfifo "$1/pipe"
sh -c 'read word <"$1"; exit 3' sh "$1/pipe" &
command=$!
exec 9<>"$1/pipe"
attend $command "a slow thing" || echo "code $?"
"""

    def test_lines(self):
        with open(os.path.join(ROOT, "scripts/demo"), encoding="utf-8") as f:
            text = f.read()
        attend = text[text.index("attend() {"):].split("\n}\n")[0] + "\n}\n"
        with tempfile.TemporaryDirectory() as tree:
            r = subprocess.run(["sh", "-c", attend + self.LOOKS, "sh", tree], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL, check=False)
        lines = r.stdout.splitlines()
        self.assertEqual(lines[:2], ["... 10 s: a slow thing", "... 20 s: a slow thing"], r)
        self.assertEqual(lines[-1], "code 3", r)


class Quietly(unittest.TestCase):
    """scripts/quietly leaves out the lines for each step, and shows everything else if ninja fails."""

    NINJA = """#!/bin/sh
echo "ninja: Entering directory \\`build'"
echo "[1/2] Building C object a.o"
echo "a.c:1: error: no such word"
exit $1
"""

    def test_output(self):
        with tempfile.TemporaryDirectory() as tree:
            log, ninja = os.path.join(tree, "log"), os.path.join(tree, "ninja")
            with open(ninja, "w", encoding="utf-8") as f:
                f.write(self.NINJA)
            os.chmod(ninja, 0o755)
            r = run("scripts/quietly", log, ninja, "0")
            self.assertEqual((r.returncode, r.stdout + r.stderr), (0, ""))
            r = run("scripts/quietly", log, ninja, "3")
            self.assertEqual((r.returncode, r.stdout, r.stderr), (3, "", "a.c:1: error: no such word\n"))
            with open(log, encoding="utf-8") as f:
                self.assertIn("[1/2] Building", f.read())
            # A step that takes longer than ten seconds; sleep takes no time here.
            with open(ninja, "w", encoding="utf-8") as f:
                f.write('#!/bin/sh\necho "[3/9] Building"\nread word <"$1"\n')
            fifo, sleep = os.path.join(tree, "fifo"), os.path.join(tree, "sleep")
            os.mkfifo(fifo)
            with open(sleep, "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\nuntil grep -q 3/9 {log}; do :; done\necho >>{tree}/looks\n[ "$(wc -l <{tree}/looks)" -ne 120 ] || echo end >{fifo}\n')
            os.chmod(sleep, 0o755)
            r = subprocess.run([os.path.join(ROOT, "scripts/quietly"), log, ninja, fifo], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL, check=False,
                               env={**os.environ, "PATH": tree + ":" + os.environ["PATH"]})
            self.assertEqual(r.stdout.splitlines(), ["... 3 of 9 steps, 10 s so far", "... 3 of 9 steps, 20 s so far"], r)


class SecondRun(unittest.TestCase):
    """scripts/test runs what failed beside others once more, alone, and says what passed only then."""

    # A ctest of five tests; the file "runs" has a line for each run: the names of those that fail, "killed", or "lost":
    # a test has no program, which is called skipped. That beside the lab has two, which pass, or AHEAD says how many
    # fail, or "killed", or AHEAD_CODE how it ends.
    CTEST = """#!/bin/sh
cd "$2"
case $PWD in
*/ahead)
    [ "${AHEAD:-}" != killed ] || kill -9 $$
    echo "<testsuite tests=\\"2\\" failures=\\"${AHEAD:-0}\\" skipped=\\"0\\" disabled=\\"0\\">" >results.xml
    [ "${AHEAD:-0}" = 0 ] || echo '<testcase name="sim/a" status="fail">' >>results.xml
    exit ${AHEAD_CODE:-0}
    ;;
esac
bad=$(sed -n 1p ../../runs)
sed -i 1d ../../runs
[ "$bad" != killed ] || kill -9 $$
skip=0
[ "$bad" != lost ] || { bad= && skip=1; }
all=5
case " $* " in *" --rerun-failed "*) all=$(wc -l <Testing/Temporary/LastTestsFailed.log) ;; esac
mkdir -p Testing/Temporary
: >Testing/Temporary/LastTest.log
printf '%s\\n' $bad >Testing/Temporary/LastTestsFailed.log
set -- "$@" $(echo $bad | wc -w)
while [ $# -gt 1 ]; do
    [ "$1" != --output-junit ] || xml=$2
    shift
done
echo "<testsuite tests=\\"$all\\" failures=\\"$1\\" skipped=\\"$skip\\" disabled=\\"0\\">" >"$xml"
for one in $bad; do
    echo "<testcase name=\\"${one#*:}\\" status=\\"fail\\">" >>"$xml"
    echo "<system-out>ERROR: ${one#*:} lacks a &quot;row&quot;" >>"$xml"
done
[ $skip = 0 ] || exit 8
"""

    def outcome(self, *runs, parts=("unit",), **env):
        """Exit code, last lines, and how often ctest was called."""
        with tempfile.TemporaryDirectory() as tree:
            def put(name, text):
                path = os.path.join(tree, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                os.chmod(path, 0o755)

            with open(os.path.join(ROOT, "scripts/test"), encoding="utf-8") as f:
                put("scripts/test", f.read())
            for name in ("deps", "build"):
                put("scripts/" + name, "#!/bin/sh\n")
            put("scripts/progress", '#!/bin/sh\nexec "$@"\n')
            put("bin/ctest", self.CTEST)
            put("runs", "".join(line + "\n" for line in runs))
            os.makedirs(os.path.join(tree, "build/dev"))
            r = subprocess.run([os.path.join(tree, "scripts/test"), *parts], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL, check=False,
                               env={"PATH": tree + "/bin:" + os.environ["PATH"], **env})
            with open(os.path.join(tree, "runs"), encoding="utf-8") as f:
                left = len(f.readlines())
        self.said = r.stdout.splitlines()[:-2]
        return r.returncode, r.stdout.splitlines()[-2:], len(runs) - left

    def test_passes_alone(self):
        code, lines, runs = self.outcome("7:unit/a 9:unit/b", "")
        self.assertEqual((code, runs, lines[1]), (0, 2, "5 passed, 0 failed, 0 skipped"))
        self.assertTrue(lines[0].startswith("unsteady") and lines[0].endswith(" unit/a unit/b"), lines)
        self.assertNotIn("ERROR", "".join(self.said))

    def test_fails_again(self):
        code, lines, runs = self.outcome("7:unit/a 9:unit/b", "9:unit/b")
        self.assertEqual((code, runs), (1, 2))
        self.assertEqual(lines, ["failed: unit/b", "4 passed, 1 failed, 0 skipped"])
        self.assertEqual(self.said[-1], 'ERROR: unit/b lacks a "row"')

    def test_one_that_is_killed_fails(self):
        code, lines, runs = self.outcome("killed", "", parts=("unit", "lab"))
        self.assertEqual((code, runs, lines), (1, 2, ["failed: unit", "10 passed, 1 failed, 0 skipped"]))
        code, lines, runs = self.outcome("7:unit/a", "killed")
        self.assertEqual((code, runs, lines), (1, 2, ["failed: unit-again", "4 passed, 1 failed, 0 skipped"]))

    def test_one_without_a_program_fails(self):
        code, lines, runs = self.outcome("lost", "")
        self.assertEqual((code, runs, lines), (1, 1, ["failed: unit", "4 passed, 1 failed, 1 skipped"]))

    def test_no_second_run(self):
        for bad, env in (("1:a 2:b 3:c 4:d", {}), ("1:a", {"PV_TEST_AGAIN": "0"})):
            code, lines, runs = self.outcome(bad, "", **env)
            self.assertEqual((code, runs), (1, 1), lines)
            self.assertIn(f"{len(bad.split())} failed", lines[1])
        code, lines, runs = self.outcome("", "")
        self.assertEqual((code, runs), (0, 1))
        self.assertRegex(lines[0], r"^time: \d+ s; everything .* 900 s at most$")

    def test_a_run_beside_the_lab_counts(self):
        code, lines, _ = self.outcome("", "", parts=("sim", "lab", "fuzz"))
        self.assertEqual((code, lines[1]), (0, "12 passed, 0 failed, 0 skipped"))
        code, lines, _ = self.outcome("", "", parts=("sim", "lab", "fuzz"), AHEAD="1")
        self.assertEqual((code, lines), (1, ["failed: sim/a", "11 passed, 1 failed, 0 skipped"]))
        code, lines, _ = self.outcome("", "", parts=("sim", "lab", "fuzz"), AHEAD="killed")
        self.assertEqual((code, lines), (1, ["failed: sim fuzz", "10 passed, 1 failed, 0 skipped"]))
        code, lines, _ = self.outcome("", "", parts=("sim", "lab", "fuzz"), AHEAD_CODE="8")
        self.assertEqual((code, lines), (1, ["failed: sim fuzz", "12 passed, 1 failed, 0 skipped"]))


class LabLogs(unittest.TestCase):
    """Two runs of a scenario in one build directory have the same logs, so the second one waits."""

    SECOND = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import lab
with lab.alone(sys.argv[2], "a.b"):
    print("begins", flush=True)
"""

    def second(self, build):
        return subprocess.Popen([sys.executable, "-c", self.SECOND, os.path.join(ROOT, "tests/lab"), build],
                                stdout=subprocess.PIPE, text=True)

    def test_second_run_waits(self):
        with tempfile.TemporaryDirectory() as build:
            first = self.second(build)
            self.assertEqual(first.communicate(timeout=60)[0], "begins\n")  # nobody else runs
            with open(os.path.join(build, "lab", "a.b.lock"), encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                second = self.second(build)
                self.assertIn("waits", second.stdout.readline())
            self.assertEqual(second.communicate(timeout=60)[0], "begins\n")


class LabFiles(unittest.TestCase):
    """Machines that may run no lab load its files all the same: a name that is imported from where it went is found."""

    def test_every_file_loads_and_has_scenarios(self):
        r = run("scripts/lab", "list")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        there = {path.stem.removeprefix("test_") for path in pathlib.Path(ROOT, "tests/lab").rglob("test_*.py")}
        self.assertEqual({line.partition(".")[0] for line in r.stdout.splitlines()}, there)


class Corpus(unittest.TestCase):
    """Kept inputs come back byte for byte, as files and in the replay."""

    INPUTS = {"empty": b"", "every-byte": bytes(range(256)), "blank": b"a word and a blank ", "digits": b"\x010",
              "backslash": b"\\x41\\", "lines": b"one\n\ttwo\r\n"}

    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("corpus", os.path.join(ROOT, "scripts/corpus"))
        self.corpus = importlib.util.module_from_spec(importlib.util.spec_from_loader("corpus", loader))
        loader.exec_module(self.corpus)
        tree = tempfile.TemporaryDirectory()
        self.addCleanup(tree.cleanup)
        self.tree = pathlib.Path(tree.name)
        self.corpus.KEPT, self.corpus.UNPACKED = self.tree, self.tree / "out"
        files = [self.tree / name for name in self.INPUTS]
        for f in files:
            f.write_bytes(self.INPUTS[f.name])
        self.corpus.add("fuzz_x", files)

    def test_files(self):
        (self.tree / "out/fuzz_x").mkdir(parents=True)
        (self.tree / "out/fuzz_x/of-yesterday").write_bytes(b"")
        self.corpus.unpack(["fuzz_x"])
        self.assertEqual({f.name: f.read_bytes() for f in (self.tree / "out/fuzz_x").iterdir()}, self.INPUTS)
        self.corpus.remove("fuzz_x", ["digits"])
        self.assertNotIn("digits", self.corpus.read("fuzz_x"))
        (self.tree / "no name").write_bytes(b"")
        with self.assertRaises(SystemExit):
            self.corpus.add("fuzz_x", [self.tree / "no name"])

    def test_replay(self):
        (self.tree / "target.c").write_text("""
            #include <stdio.h>
            #include "base/pv.h"
            int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
            int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
            {
                for (size_t i = 0; i < len; i++)
                    printf("%02x", data[i]);
                return puts("") < 0;
            }""")
        subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-iquote", f"{ROOT}/lib", "-o", self.tree / "replay",
                        self.tree / "target.c", f"{ROOT}/tests/fuzz/replay.c"], check=True)
        replay = [self.tree / "replay", self.tree / "fuzz_x"]
        r = subprocess.run(replay, capture_output=True, text=True, check=True)
        want = [self.INPUTS[name].hex() for name in sorted(self.INPUTS)]
        self.assertEqual(r.stdout.splitlines(), [*want, f"{len(want)} inputs"])
        r = subprocess.run([*replay, "blank"], capture_output=True, text=True, check=True)
        self.assertEqual(r.stdout.splitlines(), [self.INPUTS["blank"].hex(), "1 inputs"])
        self.assertEqual(subprocess.run([*replay, "nothing"], capture_output=True, check=False).returncode, 1)
        (self.tree / "fuzz_x").write_text("bad \\xg0\n")
        self.assertEqual(subprocess.run(replay, capture_output=True, check=False).returncode, 1)


class HostsLine(unittest.TestCase):
    """Each line as it is found, after p2pvpn-nss, --first and --last, and after --remove the first again."""

    FULL, SHORT = "p2pvpn [TRYAGAIN=return]", "p2pvpn_short"
    FIRST = "p2pvpn_short [TRYAGAIN=return]"
    LINES = [
        ("files dns", f"files {FULL} dns {SHORT}", f"files {FULL} {FIRST} dns", f"files dns {FULL} {SHORT}"),
        ("files mdns4_minimal [NOTFOUND=return] dns",
         f"files {FULL} mdns4_minimal [NOTFOUND=return] dns {SHORT}",
         f"files {FULL} {FIRST} mdns4_minimal [NOTFOUND=return] dns",
         f"files mdns4_minimal [NOTFOUND=return] dns {FULL} {SHORT}"),
        ("mymachines resolve [!UNAVAIL=return] files myhostname dns",
         f"{FULL} mymachines resolve [!UNAVAIL=return NOTFOUND=continue] files myhostname dns {SHORT}",
         f"{FULL} {FIRST} mymachines resolve [!UNAVAIL=return] files myhostname dns",
         f"mymachines resolve [!UNAVAIL=return NOTFOUND=continue] files myhostname dns {FULL} {SHORT}"),
        ("files ldap [NOTFOUND=return] dns", f"files {FULL} {SHORT} ldap [NOTFOUND=return] dns",
         f"files {FULL} {FIRST} ldap [NOTFOUND=return] dns", f"files {FULL} {SHORT} ldap [NOTFOUND=return] dns"),
        ("myhostname files [SUCCESS=return] dns", f"myhostname files [SUCCESS=return] {FULL} dns {SHORT}",
         f"myhostname files [SUCCESS=return] {FULL} {FIRST} dns",
         f"myhostname files [SUCCESS=return] dns {FULL} {SHORT}"),
        ("files", f"files {FULL} {SHORT}", f"files {FULL} {FIRST}", f"files {FULL} {SHORT}"),
    ]

    def test_lines(self):
        with tempfile.TemporaryDirectory() as tree:
            path = os.path.join(tree, "nsswitch.conf")

            def after(*flags):
                r = run("nss/p2pvpn-nss", *flags, "--file", path)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertTrue(r.stdout.startswith("p2pvpn-nss: "), r.stdout)
                with open(path, encoding="utf-8") as f:
                    return " ".join(f.read().split()[1:])
            for line, full, first, last in self.LINES:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(f"hosts: {line}\n")
                keep = ["--keep"]  # an upgrade changes no order, also not that of one without a mark behind p2pvpn_short
                for flags, want in ((keep, full), (keep, full), ([], full), (["--first"], first), (keep, first),
                                    (["--last"], last), (keep, last), ([], full), ([], full), (["--remove"], line)):
                    self.assertEqual(after(*flags), want, (line, flags))
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"hosts: files {self.FULL} {self.SHORT} dns\n")  # --first of before
            self.assertEqual(after("--keep"), self.LINES[0][2])


if __name__ == "__main__":
    unittest.main()
