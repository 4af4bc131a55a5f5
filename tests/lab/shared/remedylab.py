# SPDX-License-Identifier: MIT
"""The common parts of scenarios that carry remedies out: what the program says, and the commands in it."""
import json
import re

from lab import check, wait


def problems(host):
    return host.json("status")["problems"]


def problem(host, words, timeout=60):
    """The problem of `status` that has these words."""
    found = []

    def there():
        found[:] = [p for p in problems(host) if words in p]
        return found
    wait(f"{host.name} to say: {words}", there, timeout)
    return found[0]


def gone(host, words, timeout=120):
    wait(f"{host.name} to say no longer: {words}", lambda: not any(words in p for p in problems(host)), timeout)


def commands(text):
    """The commands of p2pvpnctl in a text, as lists of words without sudo and the program's name."""
    return [c.split() for c in re.findall(r"`(?:sudo )?p2pvpnctl ([^`]*)`", text)]


def run(host, words, check_rc=True, **values):
    """One of them, with a value for each word in capitals."""
    return host.ctl(*[values.get(w, w) for w in words], check_rc=check_rc)


def remedy_of(host, words):
    """The identifier beside the problem with these words."""
    s = host.json("status")
    return next((r for p, r in zip(s["problems"], s["remedies"]) if words in p), None)


def cure(host, words, name, do):
    """The problem with these words has this remedy; doing what it says takes it away."""
    said = problem(host, words)
    check(remedy_of(host, words) == name, f"{said}: {remedy_of(host, words)}, not {name}")
    do(said)
    gone(host, words)


def reload_with(host, text):
    """The configuration is this text."""
    host.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin=text)
    host.ctl("reload")


def doctor(host):
    """The remedies that it names, by their identifiers."""
    checks = json.loads(host.ctl("doctor", "--json", check_rc=False).out)["checks"]
    return {c["remedy"]: c["todo"] for c in checks if not c["well"]}


def token(host):
    return host.ctl("invite").out.strip()


def cause(host, peer, code):
    """The answer of `why` if this is the cause; else None."""
    said = json.loads(host.ctl("why", peer, "--json", check_rc=False).out)
    return said if said["cause_code"] == code else None
