# SPDX-License-Identifier: MIT
"""A chat with a long history."""

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
