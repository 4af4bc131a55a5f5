# SPDX-License-Identifier: MIT
"""p2pvpnctl completion: what bash offers, with a daemon that knows names."""
import os
import shutil

from lab import Skip, check, equal, scenario
from test_terminal import Terminal

ASK = r"""
PATH=$1:$PATH
source <(p2pvpnctl completion bash)
shift
COMP_WORDS=(p2pvpnctl "$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_p2pvpnctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def offers(lab, host, *words):
    r = host.run("bash", "-c", ASK, "bash", lab.build + "/bin", *words)
    equal(r.err, "", "complaints of bash")
    return r.out.split()


@scenario
def bash_offers_commands_options_and_names(lab):
    coordinator = lab.coordinator()
    a, bob, bert = lab.host("a"), lab.host("bob"), lab.host("bert")
    equal(offers(lab, a, "sen"), ["send", "send-file"], "commands")
    equal(offers(lab, a, "netw"), ["network", "networks"], "commands that begin alike")
    equal(offers(lab, a, "--so"), ["--socket"], "options of every command")
    equal(offers(lab, a, "ping", "--di"), ["--direct"], "options of ping")
    equal(offers(lab, a, "ping", "b"), [], "names without a daemon")
    lab.network(coordinator, [a, bob, bert])
    a.wait_peer(bob)
    a.wait_peer(bert)
    equal(sorted(offers(lab, a, "ping", "b")), ["bert", "bob"], "names")
    equal(offers(lab, a, "--socket", "/run/p2pvpn/p2pvpnd.sock", "send-file", "bo"), ["bob"],
          "a name behind a flag with a value")
    equal(offers(lab, a, "files", "acc"), ["accept"], "words of files")
    equal(offers(lab, a, "room", "mem"), ["members"], "words of room")
    equal(offers(lab, a, "network", "co"), ["coordinators"], "words of network")
    equal(offers(lab, a, "networks", "--js"), ["--json"], "options of networks")
    equal(offers(lab, a, "root", "ex"), ["export"], "words of root")
    equal(offers(lab, a, "admin", "rev"), ["revoke"], "words of admin")
    equal(offers(lab, a, "admin", "grant", "bo"), ["bob"], "names behind a word")
    equal(offers(lab, a, "admin", "revoke", "bo"), [], "members who are no admins")
    equal(offers(lab, a, "help", "netw"), ["network", "networks"], "commands behind help")
    equal(offers(lab, a, "log", "de"), ["debug"], "levels")
    equal(offers(lab, a, "-n", ""), ["default"], "networks")
    a.ctl("allow", "tag:guest", "bob", "ssh")
    equal(offers(lab, a, "rules", "remove", ""), ["1"], "rules")
    for member in (bob, bert):
        a.ctl("tag", member.name, "web")
    equal(offers(lab, a, "allow", "tag:"), ["tag:web"], "a tag of two members")
    equal(offers(lab, a, "untag", "bob", ""), ["web"], "the tags of one")
    r = a.run("bash", "-c", "COMP_TYPE=33\n" + ASK, "bash", lab.build + "/bin", "allow", "tag:")
    equal(r.out, "tag:web\n", "the same in a list, where what is behind it may be inserted")
    a.ctl("room", "create", "crew")
    equal(offers(lab, a, "room", "leave", ""), ["\\#crew"], "rooms, quoted for the shell")
    a.ctl("invite", "--uses", "3")
    still = [i["id"] for i in a.json("invite", "list")["invites"] if i["used"] < i["uses"] and not i["revoked"]]
    check(still, "no invite is open")
    equal(sorted(offers(lab, a, "invite", "revoke", "")), sorted(still), "invites that are open")
    equal(offers(lab, a, "send", "bert", "b"), [], "names where a text belongs")
    check("complete -c p2pvpnctl" in a.ctl("completion", "fish").out, "no script for fish")
    check("#compdef p2pvpnctl" in a.ctl("completion", "zsh").out, "no script for zsh")
    a.ctl("completion", "tcsh", code=2)


@scenario
def fish_offers_the_same_and_says_what_each_is(lab):
    if shutil.which("fish") is None:
        raise Skip("fish is not installed")
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    a.ctl("allow", "tag:guest", "bob", "ssh")
    a.ctl("room", "create", "crew")
    a.ctl("invite", "--uses", "3")

    def of(words):
        r = a.run("fish", "--no-config", "-c", f"set PATH {lab.build}/bin $PATH; p2pvpnctl completion fish | source; "
                  f"complete -C 'p2pvpnctl {words}'")
        equal(r.err, "", "complaints of fish")
        return dict(line.partition("\t")[::2] for line in r.out.splitlines())
    equal(of("ping "), {"bob": "online"}, "names")
    check("default" in of("-n "), "networks")
    equal(of("rules remove "), {"1": "allow tag:guest bob tcp/22"}, "rules")
    equal(of("room leave "), {"#crew": "room of 1"}, "rooms")
    check("used 0 of 3" in of("invite revoke ").values(), "invites that are open")
    equal(of("can "), {"bob": "online"}, "who can")
    check("10 minutes of silence" in of("invite --")["--ephemeral"], "what goes on in the next line is cut")
    for words in ("", "invite --", "files "):
        offered = of(words)
        check(offered, f"nothing is offered behind {words!r}")
        check(words == "files " or all(offered.values()), f"without a word: {offered}")


class Shell(Terminal):
    """A terminal with a shell that completes p2pvpnctl."""
    FLAGS = {"bash": "--norc --noprofile", "zsh": "-f"}
    SET_UP = {"bash": "set +o history; source <(p2pvpnctl completion bash)",
              "zsh": "autoload -U compinit && compinit -u -D; source <(p2pvpnctl completion zsh)"}
    LIST = {"bash": ("Tab", "Tab"), "zsh": ("Tab",)}  # what bash does at the second one zsh does at the first

    def command(self, args, env):
        self.shell, = args
        self.cleared = 0
        return f"PATH={self.host.lab.build}/bin:$PATH PS1='$ ' {self.shell} {self.FLAGS[self.shell]} -i"

    def clear(self, first="clear"):
        self.cleared += 1
        said = f"{self.shell} {self.cleared}"
        self.line(f"{first}; clear; echo {said}")
        self.wait_row("an empty screen", 0, said)

    def tab(self, typed, *expected):
        """Tab lists these behind what is typed, which is all that they have in common."""
        self.type("p2pvpnctl " + typed)
        self.keys(*self.LIST[self.shell])
        for row in expected:
            self.wait(f"what Tab says behind {typed!r}", row)


@scenario
def bash_and_zsh_say_what_each_is_when_one_types(lab):
    shells = [s for s in ("bash", "zsh") if shutil.which(s)]
    if shutil.which("tmux") is None:
        raise Skip("tmux is not installed: scripts/deps test")
    coordinator = lab.coordinator()
    a, bob, bert = lab.host("a"), lab.host("bob"), lab.host("bert")
    lab.network(coordinator, [a, bob, bert])
    a.wait_peer(bob)
    a.wait_peer(bert)
    a.ctl("allow", "tag:guest", "bob", "ssh")
    a.ctl("deny", "any", "bert", "tcp/23")
    for room in ("crew", "dogs"):
        a.ctl("room", "create", room)
    for uses in (3, 4):
        a.ctl("invite", "--uses", uses)
    a.run("touch", "/etc/p2pvpn/work.conf")
    rows = (("rules remove ", "1  -- allow tag:guest bob tcp/22", "2  -- deny any bert tcp/23"),
            ("room leave \\#", "#crew  -- room of 1", "#dogs  -- room of 1"),
            ("invite revoke ", "used 0 of 3", "used 0 of 4"),
            ("-n ", "default", "work"),
            ("invite --e", "--ephemeral  -- ", "--expires  -- "),
            ("network", "network  -- ", "networks  -- "),
            ("ping b", "bert  -- online", "bob  -- online"))
    term = None
    for shell in shells:
        if term is None:
            term = Shell(lab, a, shell)
        else:
            term.again(shell)
        term.clear(Shell.SET_UP[shell])
        for row in rows:
            term.tab(*row)
            if row != rows[-1]:
                term.keys("C-u")
                term.clear()
        # The line gets the word alone.
        term.type("o")
        term.keys("Tab")
        term.type("behind")
        term.wait("the whole word", "$ p2pvpnctl ping bob behind")


ASK_COORDINATOR = r"""
PATH=$1:$PATH
. "$2"
shift 2
COMP_WORDS=(p2pvpn-coordinator "$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_p2pvpn_coordinator
printf '%s\n' "${COMPREPLY[@]}"
"""


@scenario
def bash_offers_what_the_coordinator_takes(lab):
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    script = os.path.join(os.path.dirname(__file__), "../../dist/completion/p2pvpn-coordinator")

    def of(*words):
        r = coordinator.host.run("bash", "-c", ASK_COORDINATOR, "bash", lab.build + "/bin", script, *words)
        equal(r.err, "", "complaints of bash")
        return sorted(set(r.out.split()))
    equal(of("re"), ["reload", "restore"], "subcommands")
    equal(of("networks", "--na"), ["--names"], "options")
    equal(of("secret", ""), ["rotate"], "words of secret")
    equal(of("--listen", ""), [], "words in place of a value")
    equal([len(x) for x in of("drop", "")], [32], "ids of networks")
    equal([len(x) for x in of("drop", "--state", "/var/lib/p2pvpn-coordinator", "")], [32], "ids behind a value")
    equal(of("drop", "--state", "/nowhere", ""), [], "ids where no coordinator runs")
    equal(of("networks", "--state", "/nowhere", ""), of(""), "words after a value")
    equal(of("backup", "/etc/p2p"), ["/etc/p2pvpn"], "files")
