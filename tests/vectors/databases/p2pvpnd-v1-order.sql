-- p2pvpnd, schema 1, its last form: statements in order
PRAGMA application_id = 1882353782;
PRAGMA user_version = 1;
CREATE TABLE network(one INTEGER PRIMARY KEY CHECK(one = 1), id BLOB NOT NULL, name TEXT NOT NULL, node_name
  TEXT NOT NULL);
CREATE TABLE statements(seq INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, statement BLOB NOT NULL, receipt
  BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE chat_message (n INTEGER PRIMARY KEY, peer BLOB NOT NULL, id BLOB NOT NULL, outgoing INTEGER NOT
  NULL, state INTEGER NOT NULL, owed INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL, time_ms INTEGER NOT
  NULL, peer_name TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (peer, id, outgoing)) STRICT;
CREATE INDEX chat_outbox ON chat_message (peer, seq) WHERE outgoing = 1 AND state = 0;
CREATE INDEX chat_inbox ON chat_message (n) WHERE outgoing = 0 AND state = 3;
CREATE INDEX chat_owed ON chat_message (peer, n) WHERE owed = 1;
CREATE INDEX chat_history ON chat_message (peer, n);
CREATE TABLE chat_seq (peer BLOB PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO network VALUES(1, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'home', 'anna');
INSERT INTO statements VALUES(1, x'2222222222222222222222222222222222222222222222222222222222222222', x'2202', x'');
INSERT INTO statements VALUES(2, x'1111111111111111111111111111111111111111111111111111111111111111', x'1101', x'0909');
INSERT INTO meta VALUES('epoch', x'07');
INSERT INTO chat_message (n, peer, id, outgoing, state, owed, seq, time_ms, peer_name, text)
  VALUES(1, x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'01010101010101010101010101010101', 0, 3, 0, 1, 1700000000000, 'bob', 'unread');
INSERT INTO chat_message (n, peer, id, outgoing, state, owed, seq, time_ms, peer_name, text)
  VALUES(2, x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'02020202020202020202020202020202', 1, 0, 0, 1, 1700000001000, 'bob', 'queued');
INSERT INTO chat_seq VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 1);
