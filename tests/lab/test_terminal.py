# SPDX-License-Identifier: MIT
"""p2pvpnctl chat on a terminal, driven through tmux; its screens are compared."""
import os
import re
import shutil
import signal
import subprocess

from chatlab import chatd, fill_history
from lab import SLOW, Skip, Stopwatch, check, equal, pause, scenario, wait


class Terminal:
    """A terminal of 80x24 on a host with `p2pvpnctl chat` in it."""

    def __init__(self, lab, host, *args, env=""):
        if shutil.which("tmux") is None:
            raise Skip("tmux is not installed: scripts/deps test")
        self.host = host
        self.name = host.name
        self.program = lab.bin("p2pvpnctl")
        # Where files are saved: in this machine's own place, not where all scenarios were started.
        self.tmux("new-session", "-d", "-s", "chat", "-c", "/run", "-x", "80", "-y", "24", self.command(args, env))
        self.tmux("set-option", "-g", "status", "off")
        self.resize(80, 24)

    def command(self, args, env):
        return " ".join([env, self.program, "chat", *args]) + "; echo ended with $?; cat"

    def again(self, *args, env="", cwd="/run"):
        """Another chat in the place of this one: a tmux server without a session would go."""
        self.tmux("respawn-pane", "-k", "-t", "chat", "-c", cwd, self.command(args, env))

    def tmux(self, *args):
        return self.host.run("env", "LC_ALL=C.UTF-8", "TZ=UTC", "TMUX_TMPDIR=/run", "TERM=xterm",
                             "tmux", "-u", "-f", "/dev/null", *args).out

    def resize(self, cols, rows):
        self.tmux("resize-window", "-t", "chat", "-x", str(cols), "-y", str(rows))

    def keys(self, *keys):
        self.tmux("send-keys", "-t", "chat", *keys)

    def type(self, text):
        self.tmux("send-keys", "-t", "chat", "-l", text)

    def line(self, text):
        self.type(text)
        self.keys("Enter")

    def rows(self):
        """The screen; times of day and round trip times are replaced."""
        text = self.tmux("capture-pane", "-p", "-t", "chat")
        text = re.sub(r"\b\d\d:\d\d\b", "hh:mm", text)
        text = re.sub(r"-- \d{4}-\d\d-\d\d --", "-- date --", text)
        text = re.sub(r"direct, [\d.]+ ms", "direct, N ms", text)
        text = re.sub(r"offline, seen .* ago", "offline, seen T ago", text)
        return [row.rstrip() for row in text.split("\n")]

    def colours(self):
        """The foreground colours on the screen (ECMA-48 SGR 30 to 38)."""
        codes = re.findall(r"\x1b\[([0-9;]*)m", self.tmux("capture-pane", "-e", "-p", "-t", "chat"))
        return {c for code in codes for c in code.split(";") if re.fullmatch("3[0-8]", c)}

    def until(self, what, *conditions, timeout=60):
        """Until all of them hold for the rows, which it returns. A picture that is on its way has some of what one
        shall see, so what stands beside something that was waited for is waited for as well."""
        def there():
            rows = self.rows()
            return rows if all(condition(rows) for condition in conditions) else None
        try:
            return wait(what, there, timeout)
        except Exception as e:
            raise type(e)(f"{e}\n" + "\n".join(self.rows())) from None

    def wait(self, what, text, *conditions, timeout=60):
        """Until text stands somewhere; returns the rows."""
        return self.until(what, lambda rows: any(text in row for row in rows), *conditions, timeout=timeout)

    def wait_row(self, what, n, row):
        """Until row n is exactly this."""
        return self.until(f"{what}: row {n} to be {row!r}", lambda rows: rows[n] == row)


def start(lab):
    if shutil.which("tmux") is None:
        raise Skip("tmux is not installed: scripts/deps test")
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    a.wait_direct(b)
    return a, b


def roster(name, way):
    return f"● {name:<11} {way}".ljust(23)


@scenario
def a_conversation_on_a_screen(lab):
    a, b = start(lab)
    b.ctl("send", "a", "before", "the", "terminal", "was", "there")
    term = Terminal(lab, a)
    term.wait("one unread message of bob, the title, the bar, the input line", "1│",
              lambda rows: rows[0] == " home  you are a" and "[1 unread: Ctrl-G]" in rows[22] and rows[23] == ">")
    equal(len(a.json("inbox", "--peek")["messages"]), 1, "unread messages before it is opened")

    term.keys("C-g")
    term.wait_row("the conversation with bob", 0, " bob  direct, N ms")
    term.wait_row("what bob wrote", 21,
                  " " * 23 + "│ hh:mm    bob: before the terminal was there")
    wait("it to be read", lambda: a.json("inbox", "--peek")["messages"] == [])
    wait("bob to know", lambda: b.json("history")["messages"][0]["state"] == "read")

    # A line to bob, its marks, and an answer.
    term.line("grüße, 你好")
    term.wait_row("the check mark", 21, " " * 23 + "│ hh:mm ✓    a: grüße, 你好")
    equal([m["text"] for m in b.json("inbox")["messages"]], ["grüße, 你好"], "what bob got")
    term.wait_row("both check marks", 21, " " * 23 + "│ hh:mm ✓✓   a: grüße, 你好")
    a.ctl("send", "bob", "from", "another", "terminal")
    term.wait_row("what was sent elsewhere on this machine", 21, " " * 23 + "│ hh:mm ✓    a: from another terminal")
    b.ctl("send", "a", "and \x1b[2J\x1b]0;title\x07 escapes")
    term.wait_row("the message with escapes", 21, " " * 23 + "│ hh:mm    bob: and �[2J�]0;title� escapes")
    term.until("title and roster after the escapes", lambda rows: (rows[0], rows[1][:24], rows[2][:24]) == (
        " bob  direct, N ms", "  home".ljust(23) + "│", roster("bob", "direct") + "│"))

    # Classic words, completion, history of what was typed.
    term.type("send b")
    term.keys("Tab")
    term.wait_row("the name completed", 23, "> send bob")
    term.type("once more")
    term.keys("Enter")
    term.wait("the message sent", "a: once more")
    term.keys("Up")
    term.wait_row("the line typed before", 23, "> send bob once more")
    term.keys("C-u")
    term.line("getu")
    term.wait("who is there", f"bob              {a.addr(b)}".rstrip())
    term.line("/nonsense")
    term.wait("no such command", "no command /nonsense")
    term.wait_row("a line of its own for the next command", 23, ">")
    term.keys("Up")
    term.wait_row("the refused command back", 23, "> /nonsense")
    term.keys("C-u")
    term.line("/send nobody for nobody else")
    term.wait_row("the whole line given back", 23, "> /send nobody for nobody else")
    term.keys("C-u")
    wait("bob's name to have a colour", term.colours)
    term.keys(*"last", "Enter", *"exit", "Enter")  # in one breath: the chat ends when p2pvpnd has the line
    term.wait("the end", "ended with 0")
    check("last" in [m["text"] for m in a.json("history", "bob")["messages"]], "a line was dropped at the end")
    term.again("bob", env="NO_COLOR=1")
    term.wait("the conversation", "a: once more")
    equal(term.colours(), set(), "colours though NO_COLOR is set")


@scenario
def sizes_scrolling_and_absence(lab):
    a, b = start(lab)
    for i in range(60):
        b.ctl("send", "a", f"line {i}")
    wait("all to be there", lambda: len(a.json("inbox", "--peek")["messages"]) == 60)
    term = Terminal(lab, a, "bob")
    term.wait("the newest line, and the oldest on the screen", "line 59", lambda rows:
              rows[1].endswith(": line 39") and "[39 new above: PgUp; End: skip]" in rows[22])
    equal(len(a.json("inbox", "--peek")["messages"]), 60, "behind what nobody has seen nothing is read")
    term.keys("PageUp")
    term.wait("older lines, without the newest, and the bar to say it", "line 25", lambda rows:
              "[scrolled up: End]" in rows[22] and not any("line 59" in row for row in rows))
    b.ctl("send", "a", "newest")
    rows = term.wait("the line below to be counted", "[1 new below: End]")
    check(any("line 25" in row for row in rows), "the window moved")
    term.keys("PageUp", "PageUp")
    term.wait("the oldest line", "line 0")
    wait("what was on the screen to be read, and no more",
         lambda: [m["text"] for m in a.json("inbox", "--peek")["messages"]] == ["newest"])
    term.keys("End")
    term.wait("the newest again", "bob: newest")
    wait("it to be read", lambda: a.json("inbox", "--peek")["messages"] == [])

    term.resize(50, 12)
    term.until("the whole width without a roster, and the input line",
               lambda rows: (rows[9], rows[11]) == ("hh:mm    bob: newest", ">"))
    term.resize(120, 40)
    term.wait_row("a large screen", 37, " " * 23 + "│ hh:mm    bob: newest")
    term.resize(15, 3)
    term.wait_row("a screen that is too small", 0, "too small")
    term.resize(80, 24)
    term.wait_row("the usual screen", 21, " " * 23 + "│ hh:mm    bob: newest")

    # bob goes: what is written waits and says so.
    b.stop_daemon()
    term.wait_row("bob to be away", 0, " bob  offline, seen T ago")
    term.line("see you")
    term.wait("the note", "queued: bob is offline")
    term.wait_row("a copy waits for bob", 21, " " * 23 + "│ hh:mm →    a: see you")
    b.daemon()
    term.wait_row("the message delivered", 21, " " * 23 + "│ hh:mm ✓    a: see you")
    wait("the bar to forget that it waited",
         lambda: not any("queued: bob" in row for row in term.rows()))

    # The chat outlives the daemon: what is typed meanwhile is sent once it is back.
    a.stop_daemon()
    term.wait("the end of the daemon", "p2pvpnd is not running")
    term.line("typed in between")
    term.wait_row("the line that waits", 21, " " * 23 + "│ hh:mm ·    a: typed in between")
    term.wait_row("the bar still says it", 22, " p2pvpnd is not running: messages wait here until it runs again"
                  .ljust(74) + "hh:mm")
    term.line("exit")
    term.wait("the question", "1 line is not sent: exit again to discard it")
    a.daemon()
    term.wait("its return", "a: typed in between")
    wait("bob to have it", lambda: [m["text"] for m in b.json("history")["messages"]].count(
        "typed in between") == 1)
    # In a room, too, also lines that it was asked to take before it went, perhaps for the second time.
    a.ctl("room", "create", "den")
    a.ctl("room", "invite", "den", "bob")
    term.wait("the room", "#den")
    term.line("/open #den")
    term.wait("it to be open", "#den  room")
    os.kill(a.p2pvpnd.pid, signal.SIGSTOP)
    term.line("one for all")
    term.wait("what is wrong", "[p2pvpnd does not answer]  /help")
    a.stop_daemon(signal.SIGKILL)
    term.wait("the end of the daemon", "p2pvpnd is not running")
    term.line("two for all")
    a.daemon()
    wait("both, once", lambda: [m["text"] for m in a.json("history", "#den")["messages"]] == ["one for all", "two for all"])
    term.line("/open bob")
    term.wait("bob's lines", "a: typed in between")
    # If both hang, nobody has taken the line: the chat does not end without a word.
    hung = [chatd(a), a.p2pvpnd.pid]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    term.line("last words")
    term.wait("what is wrong", "[p2pvpnd does not answer]  /help")
    term.line("exit")
    term.wait("the question", " p2pvpnd does not answer: exit again to discard")
    for pid in hung:
        os.kill(pid, signal.SIGCONT)
    term.wait("its answer", "a: last words")
    term.line("exit")
    term.wait("the end", "ended with 0")


@scenario
def no_key_becomes_text(lab):
    """Every key that tmux can send, by the names of its manual: none leaves anything in the line."""
    a, _ = start(lab)
    term = Terminal(lab, a, "bob")
    term.wait_row("the conversation", 0, " bob  direct, N ms")
    plain = ["Up", "Down", "Left", "Right", "Home", "End", "PageUp", "PageDown", "IC", "DC", "BTab",
             *(f"F{n}" for n in range(1, 13))]
    term.keys(*plain)
    for modifiers in ("C-", "M-", "S-", "C-M-", "C-S-", "M-S-"):
        term.keys(*(modifiers + k for k in plain if k != "BTab"))
    term.keys("M-x", "M-.", "M-b", "M-f", "M-d", "M-BSpace")
    term.type("one two three")
    term.keys("C-Left", "M-b", "M-d")
    term.wait_row("words are passed and cut", 23, "> one  three")
    term.keys("C-Right")
    term.type("!")
    term.wait_row("to the end of a word", 23, "> one  three!")
    term.keys("C-c")
    term.wait("the question", "a line is not sent: exit again to discard it")
    term.keys("C-c")
    term.wait("the end", "ended with 0")


# Keys that kitty's entry names and xterm's does not; the package kitty-terminfo is seldom there.
KITTY = ["\x1b[1;2P", "\x1b[15;5~", "\x1b[1;3S", "\x1b[1;9A", "\x1b[57376u", "\x1b[57441;5u", "\x1b[97;5u",
         "\x1b[27;2;13~", "\x1b[1;5E", "\x1b[29~", "\x1b[I", "\x1b[O", "\x1bOE"]
TERMS = ["xterm", "xterm-256color", "tmux", "tmux-256color", "screen", "screen-256color", "linux", "xterm-kitty"]


def terminfo_keys(term):
    """The bytes that the terminal sends for each key that its entry names (terminfo(5)); of the mouse it names a beginning."""
    entry = subprocess.run(["infocmp", "-x", "-1", term], capture_output=True, text=True, check=False).stdout
    keys = dict(re.findall(r"^\t(k[A-Za-z0-9]+)=(.*),$", entry, re.M))
    keys.pop("kmous", None)
    escapes = {"\\E": "\x1b", "\\e": "\x1b", "\\s": " ", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b"}

    def character(m):
        text = m.group(0)
        if text[0] == "^":
            return "\x7f" if text[1] == "?" else chr(ord(text[1]) & 0x1f)
        return escapes.get(text) or (chr(int(text[1:], 8)) if text[1].isdigit() else text[1])
    return [re.sub(r"\\[0-7]{3}|\\.|\^.", character, sequence) for sequence in keys.values()]


@scenario
def no_key_of_a_terminfo_entry_becomes_text(lab):
    """Each sequence is typed, at the terminal whose entry has it and at an xterm."""
    a, _ = start(lab)
    known = {term: terminfo_keys(term) for term in TERMS}
    check(len(known["xterm"]) > 50 and len(known["linux"]) > 20, f"entries that are there: {known.keys()}")
    every = sorted(set(sum(known.values(), KITTY)))
    term = Terminal(lab, a, "bob")
    for name, sequences in [*((t, k) for t, k in known.items() if k), ("xterm", every)]:
        term.again("bob", env=f"TERM={name}")
        term.wait_row(f"the conversation at {name}", 0, " bob  direct, N ms")
        term.wait_row(f"an empty line at {name}", 23, ">")
        for i in range(0, len(sequences), 20):
            term.keys("-H", *(f"{byte:02x}" for byte in "".join(sequences[i:i + 20]).encode("latin-1")))
        term.type("end")
        term.wait_row(f"nothing but what was typed at {name}", 23, "> end")
    equal(a.json("history")["messages"], [], "what was sent by a key")


@scenario
def terminals_without_an_entry_and_links(lab):
    """A terminal that follows xterm is drawn as one, another gets lines; an address is a link where the terminal is known to
    show links, on each picture that has it, and what replaces it is none."""
    a, b = start(lab)
    b.ctl("send", "a", "see https://example.org/x, ok")
    term = Terminal(lab, a)
    term.wait("the screen", "[1 unread: Ctrl-G]")
    for name, links in (("xterm-ghostty", True), ("foot", True), ("xterm-256color", False)):
        term.tmux("pipe-pane", "-t", "chat", f"cat >/run/raw-{name}")
        term.again("bob", env=f"env -u TMUX -u TERM_PROGRAM -u VTE_VERSION TERM={name}")
        term.wait(f"the address at {name}", "bob: see https://example.org/x, ok")
        term.line("/close")
        term.wait(f"the network at {name}", " home  you are a")
        link = "\x1b]8;id=p2pvpn-1;https://example.org/x\x1b\\https://example.org/x\x1b]8;;\x1b\\"
        def written(name=name):
            return a.run("cat", f"/run/raw-{name}").out
        if links:
            wait(f"the link at {name}", lambda: link in written())
        check(("\x1b]8;" in written()) == links, f"links at {name}: {written()!r}")
    term.again("bob", env="env TERM=no-such-terminal")
    term.wait("lines", "bob>")
    term.wait("why", "terminfo has no entry for this terminal (TERM=no-such-terminal)")


@scenario
def bytes_of_no_character_take_nothing_with_them(lab):
    a, b = start(lab)
    term = Terminal(lab, a, "bob")
    term.wait("the conversation", "bob  direct")
    # "A", the key that goes left and U+65E5 are whole.
    term.keys("-H", *"c3 41 ff c3 1b 5b 44 e6 97 e6 97 a5".split())
    term.wait_row("what was typed", 23, "> \ufffdA\ufffd\ufffd\u65e5\ufffd")
    term.keys("C-e", "C-u")
    a.run("sh", "-c", r"printf 'bad \377 \303' >/run/bad; printf 'one\r\ntwo\r\n' >/run/crlf")
    term.tmux("load-buffer", "/run/bad")
    term.tmux("paste-buffer", "-r", "-p", "-t", "chat")
    term.keys("Enter")
    term.wait("what was pasted", "a: bad \ufffd \ufffd")
    term.tmux("load-buffer", "/run/crlf")
    term.tmux("paste-buffer", "-r", "-p", "-t", "chat")
    term.wait("two lines", "2 lines pasted: Enter sends them to bob")
    term.keys("Enter")
    wait("both at bob", lambda: [m["text"] for m in b.json("history")["messages"]][-1:] == ["one\ntwo"])


def picture(cols, rows, title, names, lines, bar, width=24, shown="> "):
    """The whole screen: names at the left where there is room, the lines at the bottom of their pane."""
    pane = rows - 3
    beside = [""] * (pane - len(lines)) + lines
    if cols >= width + 36:
        left = names + [""] * (pane - len(names))
        beside = [f"{name:<{width - 1}}│ {line}" for name, line in zip(left, beside)]
    bar = f" {bar}".ljust(cols - 6) + "hh:mm"
    return [row.rstrip() for row in [f" {title}", *beside, bar, shown]]


def expect_picture(term, cols, rows, *args, **more):
    want = picture(cols, rows, *args, **more)
    term.resize(cols, rows)
    try:
        wait(f"the picture at {cols}x{rows}", lambda: term.rows()[:rows] == want)
    except Exception as e:
        raise type(e)(f"{e}\n" + "\n".join(f"{'  ' if g == w else '!!'} {g!r} {w!r}"
                                           for g, w in zip(term.rows(), want))) from None


@scenario
def whole_screens_of_three_sizes(lab):
    a, b = start(lab)
    a.ctl("room", "create", "crew")
    term = Terminal(lab, a, "bob")
    term.wait_row("the conversation", 0, " bob  direct, N ms")
    b.ctl("send", "a", "the quick brown fox jumps over the lazy dog and goes on to the river")
    term.wait("it", "the quick brown fox")
    b.ctl("send", "a", "/me waves")
    term.wait("it", "* bob waves")
    term.line("grüße, 你好")
    wait("b to have it", lambda: b.json("inbox", "--peek")["messages"])
    term.type("half a line")
    names = ["  home", "  #crew       room", roster("bob", "direct")]
    line = "hh:mm    bob: the quick brown fox jumps over the lazy dog and goes on to the river"
    rest = ["hh:mm    * bob waves", "hh:mm ✓    a: grüße, 你好"]
    more = {"shown": "> half a line"}
    title, bar = "bob  direct, N ms", "/help  Tab  PgUp  Ctrl-N"
    expect_picture(term, 80, 24, title, names, ["-- date --", line[:53], " " * 9 + line[54:], *rest],
                   bar, **more)
    expect_picture(term, 200, 50, title, names, ["-- date --", line, *rest], bar, **more)
    expect_picture(term, 40, 12, title, names,
                   ["-- date --", "hh:mm    bob: the quick brown fox jumps", "         over the lazy dog and goes on",
                    "         to the river", *rest], bar, **more)
    cells = term.tmux("capture-pane", "-e", "-p", "-t", "chat").split("\n")
    check(cells[0].startswith("\x1b[7m") and cells[10].startswith("\x1b[7m"), f"title and bar: {cells[0]!r}")
    check(re.search(r"\x1b\[2m\d\d:\d\d .*\x1b\[32m.*✓.*\x1b\[1ma:", cells[9]), f"time, mark, name: {cells[9]!r}")


@scenario
def a_screen_as_its_user_likes_it(lab):
    a, b = start(lab)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "bob")
    wait("bob to be in it", lambda: b.ctl("room", "accept", "crew", check_rc=False).code == 0)

    def set_to(text):
        a.run("sh", "-ec", "mkdir -p /run/home/.config/p2pvpn; cat >/run/home/.config/p2pvpn/p2pvpnctl.conf", stdin=text)

    set_to("[chat]\ntime = seconds\nroster-width = 20\nalign = off\nwrap = off\nhighlight = deploy\n")
    term = Terminal(lab, a, "'#crew'", env="HOME=/run/home")
    b.ctl("send", "#crew", f"who can deploy http://an.example/{'x' * 40}?")
    term.until("the address, to where the screen ends, and the roster", lambda rows: rows[1] == "  home".ljust(19) + "│" and any(
        re.search(r"│ hh:mm:\d\d    bob: who can deploy$", row) and after.endswith("│" + " " * 13 + f"http://an.example/{'x' * 29}")
        and last.endswith(f"│ {'x' * 11}?") for row, after, last in zip(rows, rows[1:], rows[2:])))
    wait("the word to stand out", lambda: "\x1b[1m\x1b[33m" in term.tmux("capture-pane", "-e", "-p", "-t", "chat"))
    term.line("exit")
    term.wait("the end", "ended with 0")
    set_to("[chat]\nroster = off\ntime = off\ncolours = off\n")
    term.again("'#crew'", env="HOME=/run/home")
    term.wait_row("lines alone", 20, "   bob: who can deploy")
    equal(term.colours(), set(), "colours though they are off")
    term.line("exit")
    set_to("[chat]\ntime = 25h\n")
    term.again(env="HOME=/run/home")
    term.wait("what is wrong", "/run/home/.config/p2pvpn/p2pvpnctl.conf:2: time: expected 24h,")
    term.wait("the end", "ended with 1")


@scenario
def screens_of_two_sizes(lab):
    a, b = start(lab)
    term = Terminal(lab, a)
    term.wait_row("the empty home at 80x24", 21,
                  " " * 23 + "│ Ctrl-N or /open bob opens a conversation")
    term.until("the clock in the bar", lambda rows: rows[22].endswith("hh:mm"))
    term.resize(200, 50)
    term.wait_row("the empty home at 200x50", 47,
                  " " * 23 + "│ Ctrl-N or /open bob opens a conversation")
    term.until("the clock", lambda rows: rows[48].endswith("hh:mm") and len(rows[48]) == 199)
    term.line("to nobody")
    term.wait_row("a line that was for nobody is not lost", 49, "> to nobody")
    term.keys("C-u")
    b.ctl("send", "a", "one")
    b.ctl("send", "a", "/me waves")
    term.wait("two unread messages", "[2 unread: Ctrl-G]")
    term.keys("C-g")
    want = ["-- date --", "-- new since hh:mm --", "hh:mm    bob: one", "hh:mm    * bob waves"]
    for i, row in enumerate(want):
        term.wait_row(row, 44 + i, " " * 23 + "│ " + row)
    term.resize(80, 24)
    for i, row in enumerate(want):
        term.wait_row(row, 18 + i, " " * 23 + "│ " + row)
    # The mouse takes lines alone, and a long one whole; the key that goes back is no text.
    b.ctl("send", "a", "https://example.org/" + "x" * 90)
    term.wait("an address", "example.org")
    term.keys("C-o")
    term.wait("lines alone", "-- any key goes back to the chat --")
    term.until("all lines, and an address in one piece", lambda rows: "hh:mm bob: one" in rows and
               "hh:mm bob: https://example.org/" + "x" * 90 in map("".join, zip(rows, rows[1:])))
    term.keys("x")
    term.wait_row("the chat again", 23, ">")
    # A paste there is one from its beginning to its end.
    term.keys("C-o")
    term.wait("lines alone", "-- any key goes back to the chat --")
    a.run("sh", "-c", "seq 1 600 | sed 's/$/ with some words behind it/' >/run/paste")
    term.tmux("load-buffer", "/run/paste")
    term.tmux("paste-buffer", "-p", "-t", "chat")
    term.wait("all of it", "a message has at most")
    term.wait_row("nothing of it", 23, ">")
    # A line typed ahead, behind a slip of the finger, is for nobody else.
    term.tmux("send-keys", "-t", "chat", "/open carrol", "Enter", "secret", "Enter")
    term.wait("that it is no message", 'too many words, from "secret" on')
    term.wait_row("the line taken away", 23, ">")
    term.keys("Up")
    term.wait_row("the line back", 23, "> /open carrol secret")
    check("secret" not in b.ctl("history", "a").out, "the line at bob")
    term.keys("C-u")
    term.keys("C-t")
    wait("the names to go", lambda: not any("│" in row for row in term.rows()))
    term.keys("C-t")
    wait("the names to come back", lambda: any("│" in row for row in term.rows()))
    term.line("/help")
    rows = term.wait("the marks explained", "✓✓ read")
    check(all(len(row) <= 80 for row in rows), "help is wider than the screen")
    term.type("half a line")
    term.keys("C-n")
    term.wait_row("home has a line of its own", 23, ">")
    term.keys("C-p")
    term.wait_row("and bob his", 23, "> half a line")
    term.keys("C-u")

    # A paste of several lines asks.
    term.tmux("set-buffer", "first\nsecond\n")
    term.tmux("paste-buffer", "-p", "-t", "chat")
    term.wait("the question", "2 lines pasted: Enter sends them to bob")
    equal([m for m in b.json("inbox", "--peek")["messages"]], [], "what bob got unasked")
    term.keys("x")
    term.wait("the answer", "not sent")
    term.tmux("paste-buffer", "-p", "-t", "chat")
    term.wait("the question", "2 lines pasted")
    term.keys("Enter")
    wait("bob to have it as one message",
         lambda: [m["text"] for m in b.json("inbox")["messages"]] == ["first\nsecond"])
    a.run("sh", "-c", "head -c 3000 /dev/urandom >/run/note.txt")
    term.line("/send-file /run/note.txt")
    wait("bob to be offered the file",
         lambda: [f["name"] for f in b.json("files")["files"]] == ["note.txt"])
    term.line("/send-file /run/nothing")
    term.wait("why not", "No such file")


@scenario(whole="a hundred thousand messages")
def a_hundred_thousand_messages_scroll_at_once(lab):
    a, b = start(lab)
    b.ctl("send", "a", "the newest")
    wait("the message", lambda: a.json("inbox")["messages"])
    a.stop_daemon()
    fill_history(a, 100000, 2500)
    a.daemon()
    a.wait_peer(b)
    terminal = Terminal(lab, a, "bob")
    terminal.wait("the end of the history", "the newest")
    terminal.wait("what is before it", "message number 100000")
    # 2,500 were unread, more than the daemon tells or takes at once, and most of them nobody has seen.
    terminal.wait("how many are above", "new above: PgUp; End: skip]", lambda rows:
                  2400 < int(re.search(r"\[(\d+) new above", rows[22])[1]) < 2500)
    # Nor by going up to where more are asked for, which are new as well.

    def is_asked_for():
        terminal.tmux("send-keys", "-t", "chat", "-N", "10", "PageUp")
        return any(int(n) < 99000 for n in re.findall(r"message number (\d+)", "\n".join(terminal.rows())))
    wait("the second thousand", is_asked_for)
    equal(len(a.json("inbox", "--peek")["messages"]), 2500, "unread behind those that nobody has seen")
    terminal.tmux("send-keys", "-t", "chat", "End")
    terminal.tmux("send-keys", "-t", "chat", "End")
    wait("all of it to be read", lambda: a.json("inbox", "--peek")["messages"] == [])
    watch = Stopwatch()
    terminal.line("and on")
    terminal.wait("the line that was typed", "and on")
    check(watch.seconds() < 3 * SLOW, "a line takes seconds")
    # Back past the first thousand: more come from the daemon.

    def long_ago():
        terminal.tmux("send-keys", "-t", "chat", "-N", "10", "PageUp")
        return any(int(n) < 98500 for n in re.findall(r"message number (\d+)",
                                                      "\n".join(terminal.rows())))
    wait("what is long ago", long_ago)
    watch = Stopwatch()
    a.ctl("send", "bob", "from outside")
    check(watch.seconds() < 3 * SLOW, "send takes seconds")
    terminal.line("/close")
    terminal.line("/search number 90123")
    terminal.wait("what the newest pages do not have", "bob to a: message number 90123", lambda rows:
                  '1 line has "number 90123"' in rows[22], timeout=300)  # a hundred pages
    terminal.line("/open bob")
    terminal.line("/search number 90123")
    terminal.wait("it in its place, between its neighbours", "message number 90122", lambda rows:
                  any("message number 90124" in row for row in rows))


@scenario
def files_are_offered_on_the_screen(lab):
    a, b = start(lab)
    terminal = Terminal(lab, a, "bob")
    terminal.wait("the conversation", "bob")
    b.run("sh", "-c", "head -c 3000 /dev/urandom >/run/photo.jpg")
    sender = b.start(lab.bin("p2pvpnctl"), "send-file", "a", "/run/photo.jpg")
    terminal.wait("the offer", "offers photo.jpg (2.9 KiB): /accept 1, /refuse 1")
    terminal.line("/acc\t\t")
    terminal.wait("its arrival", "saved as /run/photo.jpg")
    wait("the daemon to need it no longer", lambda: [f["state"] for f in a.json("files")["files"]] == ["saved"])
    cwd = terminal.tmux("display-message", "-p", "-t", "chat", "#{pane_current_path}").strip()
    equal(a.run("sha256sum", f"{cwd}/photo.jpg").out.split()[0], b.run("sha256sum", "/run/photo.jpg").out.split()[0],
          "the file")
    a.run("rm", f"{cwd}/photo.jpg")
    equal(sender.ended(), 0, "exit code of send-file")
    terminal.line("/accept x")
    terminal.wait("a hint", "usage: /accept ID")
    terminal.keys("C-u")
    terminal.resize(120, 24)

    # An offer that went with the daemon is said to the one who made it, with what repeats it.
    a.run("sh", "-c", "echo mine >/run/mine.txt")
    terminal.line("/send-file /run/mine.txt")
    terminal.wait("the offer", "file to bob mine.txt (offered)")
    wait("bob to have it", lambda: [f["name"] for f in b.json("files")["files"]] == ["photo.jpg", "mine.txt"])
    a.stop_daemon()
    a.daemon()
    again = "p2pvpnd restarted: /send-file offers it again"
    terminal.wait("that it is void", f"file to bob mine.txt (offered): {again}")
    number = str(b.json("files")["files"][1]["id"])
    b.ctl("files", "accept", number, "--no-wait")
    terminal.wait("that bob waits for it", f"file to bob mine.txt (accepted): {again}")
    terminal.line("/send-file /run/mine.txt")
    terminal.wait("that bob has it", "file to bob mine.txt (done)")


@scenario
def copies_under_way_hold_up_no_line_and_no_end(lab):
    a, b = start(lab)
    a.run("truncate", "-s", "8M", "/run/disk")
    a.run("mkfs.ext4", "-q", "/run/disk")
    a.run("mkdir", "/run/there")
    if a.run("mount", "-o", "loop", "/run/disk", "/run/there", check_rc=False).code != 0:
        raise Skip("no loop device: a disk that stands still cannot be had")
    states = lambda: [f["state"] for f in a.json("files")["files"]]
    n = 9  # more than are copied at a time
    for i in range(n):
        b.run("sh", "-c", f"echo {i} >/run/file{i}")
        b.ctl("send-file", "--no-wait", "a", f"/run/file{i}")
    wait("all of them", lambda: len(states()) == n)
    for i in range(n):
        a.ctl("files", "accept", f"{i + 1}", "--no-wait")
    wait("their contents", lambda: states() == ["done"] * n)
    term = Terminal(lab, a)
    term.wait("the screen", "bob")
    term.again("bob", cwd="/run/there")
    term.wait("the conversation", "file8 has arrived")
    a.run("fsfreeze", "-f", "/run/there")
    try:
        for i in range(n):
            term.line(f"/get {i + 1}")
        term.line("a line beside them")
        wait("it to arrive", lambda: "a line beside them" in b.ctl("history", "a").out)
        term.line("/quit")  # once: nothing waits for p2pvpnd
        term.wait("what the end waits for", "saving file0 ...")
        equal(states(), ["done"] * n, "before the disk moves")
    finally:
        a.run("fsfreeze", "-u", "/run/there")
    term.wait("the end", "ended with 0")
    wait("p2pvpnd to know of it", lambda: states() == ["saved"] * n)
    a.run("umount", "-l", "/run/there")


@scenario
def a_file_for_a_room_is_one_line(lab):
    coordinator = lab.coordinator()
    a, b, c = hosts = [lab.host(name) for name in ("a", "bob", "carol")]
    lab.network(coordinator, hosts)
    a.wait_direct(b)
    a.wait_direct(c)
    b.wait_direct(a)
    a.ctl("room", "create", "crew")
    for h in (b, c):
        a.ctl("room", "invite", "crew", h.name)
        wait("the invitation", lambda: h.ctl("room", "accept", "crew", check_rc=False).code == 0)
    a.ctl("deny", "any", "carol", "files")
    wait("the rule", lambda: a.ctl("can", "a", "carol:files", check_rc=False).code == 11)
    a.run("sh", "-c", "head -c 3000 /dev/urandom >/run/plan.txt")
    ours, theirs = Terminal(lab, a, "'#crew'"), Terminal(lab, b, "'#crew'")
    ours.wait("the room", "#crew  room, 3 members")
    theirs.wait("the room", "#crew  room, 3 members")
    ours.resize(140, 24)
    theirs.resize(140, 24)
    ours.line("/send-file '/run/plan.txt'")
    said = "a offers plan.txt (2.9 KiB) to those who are here"
    ours.wait("the line", f"* {said}")
    ours.wait("how many took it", "hh:mm 0 of 1 took it")
    ours.wait("why carol is not offered it", "files from this node to carol are denied by rule 1")
    rows = theirs.wait("the offer below the line", "hh:mm /accept 1, /refuse 1")
    check(any(f"* {said}" in above and "hh:mm /accept" in row for above, row in zip(rows, rows[1:])), "\n".join(rows))
    check(not any("offers plan.txt" in row and "who are here" not in row for row in rows), "\n".join(rows))
    # A chat that begins once the line is read sends him to the room, and tells it nowhere else.
    theirs.line("/exit")
    theirs.wait("the end", "ended with 0")
    theirs.again()
    theirs.wait("where the offer is", "a file of a: /open #crew")
    theirs.line("/open a")
    rows = theirs.wait("a's pane", "a  direct, N ms")
    check(not any("offers plan.txt" in row for row in rows), "\n".join(rows))
    theirs.line("/open #crew")
    theirs.wait("the offer below the line", "hh:mm /accept 1, /refuse 1")
    theirs.line("/accept 1")
    theirs.wait("its arrival", "saved as /run/plan.txt")
    theirs.wait("and that below the line", "hh:mm saved")
    ours.wait("how many took it", "hh:mm 1 of 1 took it")
    cwd = theirs.tmux("display-message", "-p", "-t", "chat", "#{pane_current_path}").strip()
    equal(b.run("sha256sum", f"{cwd}/plan.txt").out.split()[0], a.run("sha256sum", "/run/plan.txt").out.split()[0],
          "the file")
    b.run("rm", f"{cwd}/plan.txt")
    # A screen that is opened later says it, too.
    ours.line("exit")
    ours.wait("the end", "ended with 0")
    ours.again("'#crew'")
    ours.wait("how many took it", "hh:mm 1 of 1 took it")
    # Lines that are typed before a room is there are for it, one by one.
    a.ctl("room", "create", "tea")
    a.ctl("room", "invite", "tea", "bob")
    ours.wait("the other room", "#tea")
    ours.type("/open #tea\rfirst line\rsecond line\r")
    wait("both lines", lambda: [m["text"] for m in a.json("history", "#tea")["messages"]] == ["first line", "second line"])


@scenario
def rooms_of_one_name_are_told_apart_by_what_is_typed(lab):
    coordinator = lab.coordinator()
    a, b, c = hosts = [lab.host(name) for name in ("a", "bob", "carol")]
    lab.network(coordinator, hosts)
    rooms = lambda: {r["creator"]: r["room"] for r in a.json("room", "list")["rooms"]}
    for n, h in enumerate((b, c), 1):
        h.wait_direct(a)
        h.ctl("room", "create", "crew")
        h.ctl("room", "invite", "crew", "a")
        wait("a to be invited", lambda n=n: len(rooms()) == n)
    texts = lambda h: [m["text"] for m in h.json("history", "#crew")["messages"]]
    term = Terminal(lab, a)
    term.wait("the rooms", "#crew~")
    theirs = rooms()["carol"]
    term.line(f"/msg {theirs} for carol's")
    wait("carol to have it", lambda: texts(c) == ["for carol's"])
    term.line("/msg #crew for whose")
    term.wait("the doubt", "#crew is a room that this node is invited to, and there is another")
    term.line("/open #crew")  # whose it is stands there
    term.wait_row("the line that waits", 23, "> for whose")
    term.keys("C-u")
    term.line("for bob's")
    wait("bob to have it", lambda: texts(b) == ["for bob's"])
    term.line("/open bob")
    for word in ("/msg", "send"):
        term.line(f"{word} {theirs} by {word}")
        term.line(f"{word} #CREW by {word}")
    wait("both rooms to have it", lambda: texts(b) == ["for bob's", "by /msg", "by send"] and
         texts(c) == ["for carol's", "by /msg", "by send"])
    equal(b.json("history", "a")["messages"], [], "lines for bob himself")


@scenario
def a_line_is_for_whoever_had_the_name(lab):
    """Two rooms of one name, and two machines one after the other: nothing that is typed changes its receiver."""
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(name) for name in ("a", "bob", "carol", "d"))
    lab.network(coordinator, [a, b, c])
    for h in (b, c):
        a.wait_direct(h)
        h.wait_peer(a)
    b.ctl("room", "create", "crew")  # the older one of the two, which a's knows last
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "carol")
    wait("carol to be in it", lambda: c.ctl("room", "accept", "crew", check_rc=False).code == 0)
    b.ctl("room", "invite", "crew", "a")

    def rooms():
        return {r["creator"]: r["room"] for r in a.json("room", "list")["rooms"]}
    wait("the invitation", lambda: len(rooms()) == 2)
    called = rooms()
    own, theirs = called.pop("a"), called.pop("bob")
    equal(own, "#crew", "a's own room, which was there first")
    check(theirs.startswith("#crew~"), f"bob's room: {theirs}")
    screen, lines = Terminal(lab, a, "'#crew'"), Terminal(lab, b, "--lines", "'#crew'")
    screen.wait("the room", "#crew  room, 2 members")
    lines.wait("the prompt", "#crew>")
    screen.type("for carol alone")
    a.ctl("room", "accept", theirs)
    equal(rooms(), {"a": own, "bob": theirs}, "the names of a room that was accepted and of another")
    screen.keys("Enter")

    def heard(host, where="#crew"):
        return [m["text"] for m in host.json("history", where)["messages"]]
    wait("carol to have it", lambda: heard(c) == ["for carol alone"])
    lines.line("for bob's crew")
    wait("a to have it", lambda: heard(a, theirs) == ["for bob's crew"])
    screen.type("for carol still")
    a.ctl("room", "leave", "crew")
    equal(rooms(), {"a": own, "bob": theirs}, "the names of a room that was left and of another")
    screen.keys("Enter")
    screen.wait("that it is left", "this node left #crew")
    a.ctl("send", "#crew", "to nobody", code=6)
    a.stop_daemon()
    a.daemon()
    a.wait_direct(b)
    wait("the rooms", lambda: rooms() == {"a": own, "bob": theirs})
    a.ctl("send", theirs, "to bob's")
    wait("bob to have it", lambda: heard(b) == ["for bob's crew", "to bob's"])
    equal(heard(c), ["for carol alone"], "what carol has")

    # A room that was left does not stand in the way of another of its name, but keeps the name.
    again = a.ctl("room", "create", "crew").out.split()[0]
    check(again.startswith("#crew~") and again != theirs, f"the room made again: {again}")
    a.ctl("send", "#crew", "to nobody", code=6)

    # Another machine with a removed one's name.
    screen.again("--lines", "carol")
    screen.wait("the prompt", "carol>")
    screen.type("carol's secret")
    a.ctl("remove", "carol")
    d.daemon()
    d.ctl("join", a.ctl("invite").out.strip(), "--name", "carol")
    a.wait_peer("carol")
    wait("the other machine", lambda: a.peer("carol")["online"])
    screen.keys("Enter")
    screen.wait("that it is not sent", "send: carol was removed from the network")
    screen.line("send carol for the new one")
    wait("the new one to have it", lambda: heard(d, "a") == ["for the new one"])

    # The same of one that is called otherwise, by lines and on a screen.
    screen.again("--lines", "bob")
    screen.wait("the prompt", "bob>")
    b.ctl("rename", "robert")
    a.wait_peer("robert")
    screen.line("bob's secret")
    screen.wait("that it is not sent", "send: bob is called robert now")
    equal(b.json("history", "a")["messages"], [], "what robert has")

    # A line for somebody by a former name is none for the one who is shown, who would read it.
    for words in (("--lines", "carol"), ("carol",)):
        screen.again(*words)
        screen.wait("the prompt", "carol>" if len(words) == 2 else "carol")
        screen.line("send bob my secret")
        screen.wait("that it is not sent", "bob is called robert now")
    equal(heard(d, "a"), ["for the new one"], "what carol has")


@scenario
def in_no_network_there_is_no_chat(lab):
    a = lab.host("a")
    a.daemon()
    term = Terminal(lab, a)
    rows = term.wait("the end", "ended with 4")
    check(any(row.startswith("p2pvpnctl: chat: this machine is in no network") for row in rows), f"the reason: {rows}")
    r = a.ctl("chat", "--lines", stdin="send bob x\n", code=4)
    check(r.err.startswith("p2pvpnctl: chat: this machine is in no network"), f"by lines: {r}")


@scenario
def without_a_terminal_the_lines_stay(lab):
    a, b = start(lab)
    r = a.run("sh", "-c", f"printf 'send bob from a pipe\\nexit\\n' | {lab.bin('p2pvpnctl')} chat")
    check("\x1b" not in r.out, f"escapes in a pipe: {r}")
    for command, shown in (("chat bob", "bob> "), ("peers", "ADDRESS")):
        r = a.run("script", "-qc", f"TERM=dumb {lab.bin('p2pvpnctl')} {command}", "/dev/null", stdin="exit\n")
        check(shown in r.out and "\x1b" not in r.out, f"{command} on a terminal that can do nothing: {r.out!r}")
    # A person types, whatever becomes of the output.
    r = a.run("script", "-qec", f"{lab.bin('p2pvpnctl')} chat --quiet bob | cat", "/dev/null", stdin="/open carol\n/exit\n")
    check("usage: send NAME TEXT" in r.out, f"a word of the screen: {r}")
    wait("the line to arrive",
         lambda: [m["text"] for m in b.json("inbox", "--peek")["messages"]] == ["from a pipe"])
    term = Terminal(lab, a, "--lines")
    term.line("send bob line by line")
    term.wait("its mark, line by line", "-- delivered to bob: line by line")
    wait("the other line to arrive", lambda: len(b.json("inbox", "--peek")["messages"]) == 2)
    # Lines that p2pvpnd has not answered are named when it is gone.
    os.kill(a.p2pvpnd.pid, signal.SIGSTOP)
    term.line("send bob one")
    term.until("it to be sent", lambda rows: [r for r in rows if r][-2:] == ["> send bob one", ">"])
    term.line("send bob two")
    term.until("both to be sent", lambda rows: [r for r in rows if r][-2:] == ["> send bob two", ">"])
    a.stop_daemon(signal.SIGKILL)
    term.wait("the end", "ended with 8", *(lambda rows, x=x: any(f"perhaps not sent: {x}" in row for row in rows)
                                           for x in ("one", "two")))
    # So is one that waits for the names by which it is judged.
    wait("b to know that a is away", lambda: not b.peers()["a"]["online"])
    term = Terminal(lab, b, "--lines", "a")
    term.wait("the prompt", "a>")
    term.line("/open carol")
    term.wait("the word of the screen to be refused", "usage: send NAME TEXT, getu, or exit; //TEXT sends /TEXT")
    for line in ("/send a with a slash", "/me waves", "//etc"):
        term.line(line)
    wait("the lines to be taken", lambda: [m["text"] for m in b.json("history", "a")["messages"]][-3:] ==
         ["with a slash", "/me waves", "/etc"])
    # A mark that comes later would clear what is typed next.
    term.until("their marks", lambda rows: sum(row.startswith("-- queued") for row in rows) == 3
               and [r for r in rows if r][-1] == "a>")
    os.kill(b.p2pvpnd.pid, signal.SIGSTOP)
    term.line("send me the file")
    term.until("it to be read", lambda rows: [r for r in rows if r][-1] == "a> send me the file")
    os.kill(b.p2pvpnd.pid, signal.SIGKILL)
    term.wait("the end", "ended with 8", lambda rows: any("not sent: send me the file" in row for row in rows))


@scenario
def a_name_that_changed_hands_while_p2pvpnd_was_away_parts_the_lines(lab):
    """In the open pane of the name the notice stands above the lines of the machine that has it now, also above what
    that said by another name, and those of the one before, where they are there still, above it."""
    coordinator = lab.coordinator()
    r, a, b, d = (lab.host(name) for name in ("r", "a", "b", "d"))
    lab.network(coordinator, [r, a])
    b.daemon()
    b.join(r.ctl("invite").out.strip(), "--name", "bob")
    a.wait_peer("bob")
    b.ctl("send", "a", "of the first")
    term = Terminal(lab, a, "bob")
    term.wait("the line", "of the first")
    b.run("sh", "-c", "echo >/run/setup.sh")
    b.ctl("send-file", "a", "/run/setup.sh", "--no-wait")
    term.wait("its offer", "offers setup.sh")
    pause(1.1, "a change of hands has a time in whole seconds")
    a.stop_daemon()
    d.daemon()
    d.join(r.ctl("invite").out.strip(), "--name", "dan")
    d.wait_peer(r)
    d.ctl("send", "a", "as dan")
    r.ctl("remove", "bob")
    wait("d to know", lambda: "bob" not in d.peers())
    d.ctl("rename", "bob")
    r.wait_peer("bob")
    d.ctl("send", "a", "of the second")
    a.daemon()
    term.wait("the other machine's line below the notice", "of the second", lambda rows: "bob is another machine since"
              in " ".join(rows).split("as dan")[0])
    below = " ".join(term.rows()).split("bob is another machine since")[-1]
    check("of the first" not in below and "setup.sh" not in below, f"two machines' lines in one: {below}")
    # One that begins with more lines than the screen has says it in its bar, and by lines before anything is typed.
    for n in range(30):
        d.ctl("send", "a", f"line {n}")
    term.again("bob")
    term.wait("the last line, and the bar", "line 29", lambda rows:
              any(row.startswith(" bob is another machine since") for row in rows))
    term.again("--lines", "bob")
    term.wait("the prompt below the notice", "bob>",
              lambda rows: "bob is another machine since" in " ".join(rows).split("bob>")[0])


@scenario
def a_chat_outlives_the_membership_of_its_machine(lab):
    """A line that is typed next shall not go to the shell behind it."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    b.wait_peer(a)
    screen = Terminal(lab, b, "a")
    screen.wait("the conversation", " a  idle")
    b.ctl("leave", "--forget")
    screen.wait("why nothing goes", "this machine is in no network")
    screen.line("once there is one again")
    screen.wait("the line that waits", "· ")
    b.join(a.ctl("invite").out.strip(), "--name", "b2")
    wait("a to have it", lambda: "once there is one again" in a.ctl("history", "b2", check_rc=False).out)
    screen.keys("C-c")
    screen.wait("the end", "ended with 0")
