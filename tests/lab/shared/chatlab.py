# SPDX-License-Identifier: MIT
"""A chat with a long history, and the process that has it."""
import glob

FILLS = """
import os, sqlite3, sys
n, unread, padding = map(int, sys.argv[2:5])
db = sqlite3.connect(sys.argv[1])
peer, name = db.execute("SELECT peer, peer_name FROM chat_message WHERE outgoing = 0").fetchone()
db.execute("UPDATE chat_message SET n = n + 1000000")
db.executemany("INSERT INTO chat_message(n, peer, id, outgoing, state, seq, time_ms, arrived_s, peer_name, text)"
               " VALUES(?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
               [(i, peer, os.urandom(16), 3 if i > n - unread else 2, 1000 + i, 1700000000000 + i, 1700000000, name,
                 f"message number {i}" + padding * ".") for i in range(1, n + 1)])
db.commit()
"""


def fill_history(host, n, unread, padding=0):
    """While its p2pvpnd is stopped: before what was said, n messages of whoever wrote one, the last of them unread.
    padding: bytes at the end of each."""
    host.run("python3", "-c", FILLS, "/var/lib/p2pvpn.chat/chat.db", str(n), str(unread),
             str(padding), timeout=60)


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return int(f.read().rpartition(")")[2].split()[1])


def chatd(host):
    """The pid of the p2pvpn-chatd that this host's p2pvpnd started; None: there is none now."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = int(path.split("/")[2])
        try:
            with open(path, "rb") as f:
                if not f.read().startswith(b"p2pvpn-chatd\0"):
                    continue
            starter = parent_of(pid)  # of the usher and its porters it is p2pvpn-chatd
            with open(f"/proc/{starter}/comm", encoding="utf-8") as f:
                if f.read().strip() == "pv-chat-start" and parent_of(starter) == host.p2pvpnd.pid:
                    return pid
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None
