-- p2pvpnd, schema 4: hidden lines, who typed them, what is left of deleted rooms; a room with a line
PRAGMA application_id = 1882353782;
PRAGMA user_version = 4;
CREATE TABLE network(one INTEGER PRIMARY KEY CHECK(one = 1), id BLOB NOT NULL, name TEXT NOT NULL, node_name
  TEXT NOT NULL);
CREATE TABLE statements(seq INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, statement BLOB NOT NULL, receipt
  BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE chat_message (n INTEGER PRIMARY KEY, peer BLOB NOT NULL, id BLOB NOT NULL, outgoing INTEGER NOT
  NULL, state INTEGER NOT NULL, owed INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL, time_ms INTEGER NOT
  NULL, peer_name TEXT NOT NULL, text TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0, author BLOB, arrived_s
  INTEGER NOT NULL DEFAULT 0, hidden INTEGER NOT NULL DEFAULT 0, typist INTEGER NOT NULL DEFAULT 0, UNIQUE (peer,
  id, outgoing)) STRICT;
CREATE INDEX chat_outbox ON chat_message (peer, seq) WHERE outgoing = 1 AND state = 0;
CREATE INDEX chat_inbox ON chat_message (n) WHERE outgoing = 0 AND state = 3;
CREATE INDEX chat_owed ON chat_message (peer, n) WHERE owed = 1;
CREATE INDEX chat_history ON chat_message (peer, n);
CREATE TABLE chat_seq (peer BLOB PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE chat_kept (peer BLOB NOT NULL, id BLOB NOT NULL, PRIMARY KEY (peer, id)) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints(node BLOB NOT NULL, address TEXT NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY(node,
  address)) WITHOUT ROWID;
CREATE TABLE hold_copy (n INTEGER PRIMARY KEY AUTOINCREMENT, sender BLOB NOT NULL, receiver BLOB NOT NULL, key
  BLOB NOT NULL, size INTEGER NOT NULL, time_s INTEGER NOT NULL, box BLOB NOT NULL, UNIQUE (receiver, sender,
  key)) STRICT;
CREATE INDEX hold_sender ON hold_copy (sender, size);
CREATE INDEX hold_receiver ON hold_copy (receiver, n, size);
CREATE INDEX hold_time ON hold_copy (time_s);
CREATE TABLE chat_held (holder BLOB NOT NULL, peer BLOB NOT NULL, id BLOB NOT NULL, PRIMARY KEY (holder, peer,
  id)) STRICT, WITHOUT ROWID;
CREATE TABLE room (id BLOB PRIMARY KEY, network BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE room_record (n INTEGER PRIMARY KEY, room BLOB NOT NULL, hash BLOB NOT NULL, raw BLOB NOT NULL,
  UNIQUE (room, hash)) STRICT;
CREATE TABLE room_log (room BLOB NOT NULL, author BLOB NOT NULL, last INTEGER NOT NULL, low INTEGER NOT NULL
  DEFAULT 0, PRIMARY KEY (room, author)) STRICT, WITHOUT ROWID;
CREATE TABLE room_text (room BLOB NOT NULL, author BLOB NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL,
  sig BLOB NOT NULL, said BLOB, PRIMARY KEY (room, author, seq)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX room_said ON room_text (room, said) WHERE said IS NOT NULL;
CREATE INDEX room_text_n ON room_text (room, n);
CREATE TABLE chat_usage ( author BLOB NOT NULL, peer BLOB NOT NULL, bytes INTEGER NOT NULL DEFAULT 0, unread
  INTEGER NOT NULL DEFAULT 0, unread_bytes INTEGER NOT NULL DEFAULT 0, day INTEGER NOT NULL DEFAULT 0,
  day_bytes INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (author, peer)) STRICT, WITHOUT ROWID;
CREATE TABLE chat_gone ( peer BLOB NOT NULL, id BLOB NOT NULL, arrived_s INTEGER NOT NULL, PRIMARY KEY (peer,
  id)) STRICT, WITHOUT ROWID;
CREATE INDEX chat_gone_time ON chat_gone (arrived_s);
CREATE TABLE chat_muted ( peer BLOB PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO network VALUES(1, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'home', 'anna');
INSERT INTO statements VALUES(1, x'2222222222222222222222222222222222222222222222222222222222222222', x'2202', x'');
INSERT INTO statements VALUES(2, x'1111111111111111111111111111111111111111111111111111111111111111', x'1101', x'0909');
INSERT INTO meta VALUES('epoch', x'07');
INSERT INTO chat_message VALUES(1, x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'01010101010101010101010101010101', 0, 3, 0, 1, 1700000000000, 'bob', 'unread', 0, NULL, 0, 0, 0);
INSERT INTO chat_message VALUES(2, x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'02020202020202020202020202020202', 1, 0, 0, 1, 1700000001000, 'bob', 'queued', 0, NULL, 0, 0, 0);
INSERT INTO chat_seq VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 1);
INSERT INTO chat_kept VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'02020202020202020202020202020202');
INSERT INTO endpoints VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', '192.0.2.2:51820', 1700000000);
INSERT INTO room VALUES(x'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO chat_message VALUES(3, x'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee00000000000000000000000000000000', x'03030303030303030303030303030303', 0, 2, 0, 1, 1700000002000, 'bob', 'in a room', 0, x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 1700000002, 0, 0);
INSERT INTO room_log VALUES(x'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 1, 0);
INSERT INTO room_text VALUES(x'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 1, 3, x'07070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707', NULL);
INSERT INTO chat_usage VALUES(x'', x'', 1557, 0, 0, 0, 0);
INSERT INTO chat_usage VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee00000000000000000000000000000000', 521, 0, 0, 0, 0);
INSERT INTO chat_usage VALUES(x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', 518, 1, 518, 0, 0);
CREATE TRIGGER chat_usage_new AFTER INSERT ON chat_message WHEN NEW.outgoing = 0 BEGIN INSERT OR IGNORE INTO
  chat_usage (author, peer) VALUES (coalesce(NEW.author, NEW.peer), NEW.peer); UPDATE chat_usage SET bytes =
  bytes + (length(CAST(NEW.text AS BLOB)) + 512), unread = unread + (NEW.state = 3), unread_bytes =
  unread_bytes + (NEW.state = 3) * (length(CAST(NEW.text AS BLOB)) + 512), day_bytes = (day = NEW.arrived_s /
  86400) * day_bytes + (length(CAST(NEW.text AS BLOB)) + 512), day = NEW.arrived_s / 86400 WHERE author =
  coalesce(NEW.author, NEW.peer) AND peer = NEW.peer; END;
CREATE TRIGGER chat_usage_read AFTER UPDATE OF state ON chat_message WHEN OLD.outgoing = 0 AND OLD.state = 3
  AND NEW.state <> 3 BEGIN UPDATE chat_usage SET unread = unread - 1, unread_bytes = unread_bytes -
  (length(CAST(OLD.text AS BLOB)) + 512) WHERE author = coalesce(OLD.author, OLD.peer) AND peer = OLD.peer;
  END;
CREATE TRIGGER chat_usage_gone AFTER DELETE ON chat_message WHEN OLD.outgoing = 0 BEGIN UPDATE chat_usage SET
  bytes = bytes - (length(CAST(OLD.text AS BLOB)) + 512), unread = unread - (OLD.state = 3), unread_bytes =
  unread_bytes - (OLD.state = 3) * (length(CAST(OLD.text AS BLOB)) + 512) WHERE author = coalesce(OLD.author,
  OLD.peer) AND peer = OLD.peer; END;
CREATE TRIGGER chat_sum_new AFTER INSERT ON chat_message BEGIN UPDATE chat_usage SET bytes = bytes +
  (length(CAST(NEW.text AS BLOB)) + 512) WHERE author = x'' AND peer = x''; END;
CREATE TRIGGER chat_sum_gone AFTER DELETE ON chat_message BEGIN UPDATE chat_usage SET bytes = bytes -
  (length(CAST(OLD.text AS BLOB)) + 512) WHERE author = x'' AND peer = x''; END;
CREATE TRIGGER chat_gone_new AFTER DELETE ON chat_message WHEN OLD.outgoing = 0 AND OLD.author IS NULL AND
  OLD.seq > 0 BEGIN INSERT OR REPLACE INTO chat_gone (peer, id, arrived_s) VALUES (OLD.peer, OLD.id,
  OLD.arrived_s); END;
CREATE TRIGGER chat_held_gone AFTER DELETE ON chat_message WHEN OLD.outgoing = 1 BEGIN DELETE FROM chat_held
  WHERE peer = OLD.peer AND id = OLD.id; END;
