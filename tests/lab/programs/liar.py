# SPDX-License-Identifier: MIT
"""Stands in for p2pvpnd at a control socket, and for the coordinator at its own: every string of every answer has
what a terminal or a shell would act on. Runs every command of both programs against it, a chat on a terminal, and
the TAB key of each shell; prints what came out that should not, a line each.
                                                usage: liar.py DIRECTORY-OF-PROGRAMS SHELL..."""
import contextlib
import glob
import json
import os
import pty
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

BIN = sys.argv[1]
TREE = os.path.join(os.path.dirname(__file__), "../../..")
DIR = tempfile.mkdtemp(prefix="pv-liar-", dir="/tmp")
RAN = DIR + "/ran"
# ESC and the CSI of C1, as UTF-8 and as the byte; DEL, BEL, backspace, carriage return, newline; characters that turn
# or hide text; what a shell would run.
POISON = f"a\x1b[38;5;77m\u009b31m\x7f\x07\b\r\n\u202e\u2066\u200e\u2028$(touch {RAN})`touch {RAN}`;touch {RAN};b"
SHORT = f"\x1b\u009b\x7f\u202e$(touch {RAN})"  # of what is deep inside
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

# Every command, in each of its forms.
FORMS = """
create p2pvpn://198.51.100.7:3478/OlNlHvcOkRtMcnY28ZuEaf-48aHVLWmwqzRGkMCBPpc?c=AAAAAAAAAAAAAAAAAAAAAA --no-boot
invite|invite list|invite revoke abcdefgh|admit pi|deny pi|deny a b tcp/22|export x|export x --qr|admin grant pi|admin revoke pi
rename x|rename pi x|address set 10.66.0.9|address set pi 10.66.0.9|node replace pi b|leave|leave --forget|remove pi
root export --passphrase-file PASS|root import FILE --passphrase-file PASS|key rotate|key rotate --static
network coordinators|network coordinators add p2pvpn://198.51.100.7:3478/OlNlHvcOkRtMcnY28ZuEaf-48aHVLWmwqzRGkMCBPpc
network coordinators remove abcd|network coordinators address 198.51.100.7:3478
allow a b tcp/22|allow a b all --before 1|rules|rules remove 1|rules default deny|can a b:22|tag pi t|untag pi t
route|route list|route offer 192.168.1.0/24|route withdraw 192.168.1.0/24|route allow pi 192.168.1.0/24
route deny pi 192.168.1.0/24|route use auto|route use pi|exit|exit offer|exit withdraw|exit use pi
exit off|networks|up|down|version|log debug|reload|status|peers|metrics|ip|ip pi|ip pi --wg-key|why pi
trace pi|events --past|stats|stats pi|ping pi -c 1|wait --peer pi|send pi hello|send #crew hello|inbox|inbox --peek|history|history pi
history clear pi --yes|mute|mute pi|mute #crew|unmute pi|chat pi --lines|send-file pi FILE|send-file pi FILE --no-wait
files|files accept 1|files refuse 1|files withdraw 1|files get 1 -o OUT|room create crew|room invite crew pi
nc pi 22|nc -u pi 53|forward 18022 pi:22|socks|serve 18080 80|serve list|serve remove 18080
room accept crew|room leave crew|room list|room members crew|doctor|bugreport -o REPORT|bugreport --redact -o REPORT
run true|ssh known-hosts pi|ssh announce|ssh announce --none
"""
# They ask no daemon: help, a script, and what strangers on the internet answer.
ALONE = {"completion", "netcheck", "stun", "join", "pipe", "web"}
ENDLESS = {"forward", "socks", "serve", "run"}  # they refuse --timeout


def keys_of_answers():
    """The fields that sources read from answers: names of texts, of numbers, of flags, and of what may be anything."""
    found = {"text": set(), "real": set(), "bool": set(), "get": set()}
    for path in glob.glob(TREE + "/ctl/**/*.c", recursive=True) + glob.glob(TREE + "/chat/*/*.c") + \
            glob.glob(TREE + "/coordinator/*.c") + glob.glob(TREE + "/coordinator/core/report.c"):
        with open(path, encoding="utf-8") as f:
            source = f.read()
        for kind, key in re.findall(r'(?:pv_json|json_object|_|\b)_?(text|real|bool|get|text_at|number_at)\('
                                    r'[^";]*?"(\w+)"', source):
            found[{"text_at": "text", "number_at": "real"}.get(kind, kind)].add(key)
    return found


KEYS = keys_of_answers()
LISTS = {"peers", "messages", "files", "rooms", "rules", "routes", "invites", "coordinators", "offers", "networks",
         "members", "transfers", "muted", "waiting", "lines", "events"}


def answer(rng, depth=2):
    """Something with all of these. Of what may be anything a few have something of this kind in them."""
    poison = POISON if depth == 2 else SHORT
    out = {key: poison for key in KEYS["text"]}
    out.update({key: rng.choice([1, 1.5, 2000000000]) for key in KEYS["real"]})
    out.update({key: rng.random() < 0.5 for key in KEYS["bool"]})
    out[poison] = poison
    for key in sorted(KEYS["get"]):
        out[key] = rng.choice([poison, [poison, poison], {poison: 3, "x": poison}, rng.random() * 9])
    for key in rng.sample(sorted(KEYS["get"]), (0, 1, 5)[depth]) if depth > 0 else ():
        out[key] = rng.choice([answer(rng, depth - 1), [answer(rng, depth - 1)]])
    if depth == 2:  # the lists that most commands are about, in every answer
        for key in LISTS & KEYS["get"]:
            out[key] = [answer(rng, 0)]
    return out


class Liar:
    """p2pvpnd's socket and p2pvpn-chatd's beside it; how they answer is set from outside."""

    def __init__(self, path):
        self.path, self.mode, self.seed = path, "ok", 0
        for at in (path, path + ".chat"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(at)
            listener.listen(64)
            threading.Thread(target=self.serve, args=(listener,), daemon=True).start()

    def serve(self, listener):
        while True:
            c, _ = listener.accept()
            threading.Thread(target=self.talk, args=(c,), daemon=True).start()

    def lines(self, request):
        rng = random.Random(f"{self.seed} {request.get('cmd')}")
        ident = request.get("id")
        if self.mode == "fail":
            return [{"id": ident, "ok": False, "code": rng.choice([1, 3, 4, 6, 11]), "error": POISON}]
        body = answer(rng)
        for key in ("event", "error", "code", "ok", "more"):  # more: of a list that never ends
            body.pop(key, None)
        if self.mode == "shell":  # for completion: names that a shell would run, and one that it must offer
            body = {"peers": [{"name": f"$(touch${{IFS}}{RAN})"}, {"name": f"`touch {RAN}`"}, {"name": POISON},
                              {"name": "zebra"}], "rooms": [{"room": "#zoo"}, {"room": f"#$(touch {RAN})"}]}
        if self.mode == "chat":
            said = {"id": "ab" * 16, "from": "pi", "to": "me", "text": POISON, "state": "unread", "time": 1.5}
            body = {"peers": [{"name": "pi", "online": True}], "messages": [said], "message": said}
        events = [{**body, "id": ident, "event": kind} for kind in ("chat", "message", "pong", "state", "transfer", "peer")
                  if request.get("cmd") in ("ping", "watch", "send_file", "file_send")]
        return events + [{**body, "id": ident, "ok": True}]

    def talk(self, c):
        with contextlib.suppress(OSError), c, c.makefile("rb") as f:
            for n, line in enumerate(f):
                request = json.loads(line)
                for reply in self.lines(request):
                    # As the byte, C1 is no UTF-8, and p2pvpnctl refuses the line: so only as a character.
                    c.sendall(json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                if n >= 40 or request.get("cmd") == "watch" and self.mode != "chat":
                    return


class CoordinatorLiar(Liar):
    def talk(self, c):
        with contextlib.suppress(OSError), c:
            if "control" in os.path.basename(self.path):
                c.recv(65536)
            c.sendall(json.dumps(answer(random.Random(self.seed)), ensure_ascii=False).encode())


def complain(what, out):
    text = out.decode("utf-8", "surrogateescape")
    m = HARMFUL.search(text) or re.search("[\udc80-\udcff]", text)
    if m:
        print(f"{what}: {text[max(0, m.start() - 60):m.end() + 30]!r}")
    if os.path.exists(RAN):
        print(f"{what}: something was run")
        os.unlink(RAN)


def run(*argv):
    # Memory that a command leaves unfreed at its end is looked for elsewhere, and here 600 times half of the time.
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, cwd=DIR, check=False, env=env)
    return r.returncode, r.stdout, r.stderr


WHOLE = os.environ.get("PV_TEST_WHOLE") != "0" or os.environ.get("PV_LAB_LONG") == "1"
# How it answers, with success or a refusal, from which seed, and with which flags the command asks. Each form is tried
# with all of them, or with the first and, in turn, the second or the third.
TRIED = (("ok", 1, []), ("fail", 1, []), ("ok", 3, ["--json"]), ("ok", 2, []), ("fail", 1, ["--json"]))


def commands(liar):
    named = set(re.findall(r"^  ([a-z-]+) ", run(BIN + "/p2pvpnctl", "-h")[1].decode(), re.M))
    forms = [f.split() for line in FORMS.strip().split("\n") for f in line.split("|")]
    for missing in named - {f[0] for f in forms} - ALONE:
        print(f"no form of {missing} is tried")
    files = {"PASS": DIR + "/pass", "FILE": DIR + "/file", "OUT": DIR + "/out", "REPORT": DIR + "/report"}
    for name in ("pass", "file"):
        with open(f"{DIR}/{name}", "w", encoding="utf-8") as f:
            f.write("a long enough passphrase\n")
    for i, form in enumerate(forms):
        words = [files.get(w, w) for w in form]
        for mode, seed, flags in TRIED if WHOLE else (TRIED[0], TRIED[1 + i % 2]):
            liar.mode, liar.seed = mode, seed
            limit = [] if form[0] in ENDLESS else ["-t", "5"]
            code, out, err = run(BIN + "/p2pvpnctl", "-S", liar.path, *limit, *flags, *words)
            complain(f"{' '.join(flags + form)} ({mode} {seed})", out + err)
            if code not in range(13) or b"Sanitizer" in err:
                print(f"{form}: it ended with {code}: {err[-1000:]}")
            for made in ("/report", "/out"):
                if os.path.exists(DIR + made):
                    with open(DIR + made, "rb") as f:
                        complain(f"{form}, the file", f.read())
                    os.unlink(DIR + made)
            if code == 2 and "import" not in form:
                print(f"{form}: is no right line: {err}")


def coordinator():
    state = tempfile.mkdtemp(prefix="state-", dir=DIR)
    for name in ("status", "control"):
        CoordinatorLiar(f"{state}/{name}.sock")
    for form in ("status", "status --metrics", "networks", "networks --names", "drop " + "ab" * 16, "reload", "drain",
                 "secret rotate"):
        for flags in ([], ["--json"]):
            _, out, err = run(BIN + "/p2pvpn-coordinator", *form.split(), *flags, "--state", state)
            complain(f"p2pvpn-coordinator {form} {flags}", out + err)
            if b"no coordinator runs" in err or b"Sanitizer" in err:
                print(f"p2pvpn-coordinator {form}: {err[-1000:]}")


class Screen:
    """A program on a terminal, read until something stands there."""

    def __init__(self, *argv, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(DIR)
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": DIR, **env})
        self.seen = b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, what, seconds=30):
        end = time.monotonic() + seconds
        while what not in self.seen and time.monotonic() < end:
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    more = os.read(self.fd, 65536)
                except OSError:
                    more = b""
                if not more:
                    break
                self.seen += more
        return what in self.seen

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def chat(liar):
    liar.mode, liar.seed = "chat", 1
    s = Screen(BIN + "/p2pvpnctl", "-S", liar.path, "chat")
    s.until(b"unread: Ctrl-G")
    s.type("\x07")
    s.until(b"$(touch")
    s.type("/quit\r")
    s.until(b"\x1b[?2004l")
    if b"$(touch" not in s.seen:
        print(f"the chat shows nothing: {s.seen[-300:]!r}")
    text = s.seen.decode("utf-8", "surrogateescape")
    for m in re.finditer("\x1b\\[38;5;77|[\x07\x7f-\x9f\u202e\u2066\u200e\u2028]", text):
        print(f"chat: {text[max(0, m.start() - 60):m.end() + 20]!r}")
    s.end()


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(p2pvpnctl completion bash)\r"),
    "zsh": (["zsh", "-f", "-i"],
            "autoload -U compinit && compinit -u -D; source <(p2pvpnctl completion zsh)\r"),
    "fish": (["fish", "--no-config", "-i"], "p2pvpnctl completion fish | source\r"),
}


def tab(liar, shell):
    """TAB behind each kind of word: what is offered, and the line that it made is given up, not run."""
    os.makedirs(DIR + "/bin", exist_ok=True)
    with open(DIR + "/bin/p2pvpnctl", "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nexport ASAN_OPTIONS=detect_leaks=0\nexec {BIN}/p2pvpnctl -S {liar.path} \"$@\"\n")
    os.chmod(DIR + "/bin/p2pvpnctl", 0o755)
    argv, load = SHELLS[shell]
    for mode in ("shell", "ok"):
        liar.mode = mode
        s = Screen(*argv, PATH=DIR + "/bin:" + os.environ["PATH"])
        s.type(load + "echo lo''aded\r")
        if not s.until(b"loaded"):
            print(f"{shell}: does not start: {s.seen[-300:]!r}")
        for n, line in enumerate(("p2pvpnctl ping ", "p2pvpnctl room leave ", "p2pvpnctl files accept ",
                                  "p2pvpnctl chat ")):
            s.type(line + "\t\t\t")
            if mode == "shell" and n < 2:
                word = b"zebra" if n == 0 else b"#zoo"
                if not s.until(word):
                    print(f"{shell}: {line}does not offer {word}: {s.seen[-300:]!r}")
            s.type(f"\x15echo n''ext{n}\r")  # Ctrl-U: the line is given up
            if not s.until(b"next%d" % n):
                print(f"{shell}: hangs behind {line}: {s.seen[-300:]!r}")
        s.end()
        if os.path.exists(RAN):
            print(f"{shell}: TAB ran something")
            os.unlink(RAN)


def main():
    liar = Liar(DIR + "/sock")
    commands(liar)
    coordinator()
    chat(liar)
    for shell in sys.argv[2:]:
        tab(liar, shell)
    subprocess.run(["rm", "-rf", DIR], check=False)


main()
