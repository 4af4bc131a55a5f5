-- What the coordinator keeps in SQLite. Run at each start: what is there stays as it is.

-- admitter, node and serial are those of member statements and NULL in others.
CREATE TABLE IF NOT EXISTS statements(
 epoch INTEGER NOT NULL, n INTEGER NOT NULL, network BLOB NOT NULL, hash BLOB NOT NULL,
 statement BLOB NOT NULL, receipt BLOB NOT NULL, foreign_receipt BLOB,
 admitter BLOB, node BLOB, serial INTEGER, mark BLOB,
 PRIMARY KEY(epoch, n), UNIQUE(network, hash));
CREATE INDEX IF NOT EXISTS members ON statements(network, admitter, node)
 WHERE admitter IS NOT NULL;

-- The log of each network: entry n names the entry before it.
CREATE TABLE IF NOT EXISTS log(
 network BLOB NOT NULL, n INTEGER NOT NULL, hash BLOB NOT NULL, prev BLOB NOT NULL,
 entry BLOB NOT NULL, PRIMARY KEY(network, n));

-- How many nodes used each invite, kept by the database itself: counting them for each join would
-- cost more with each.
CREATE TABLE IF NOT EXISTS invite_use(network BLOB NOT NULL, invite BLOB NOT NULL,
 used INTEGER NOT NULL, PRIMARY KEY(network, invite)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS member_came AFTER INSERT ON statements
 WHEN new.admitter IS NOT NULL AND NOT EXISTS(SELECT 1 FROM statements s
  WHERE s.network = new.network AND s.admitter = new.admitter AND s.node = new.node
  AND s.rowid <> new.rowid)
 BEGIN INSERT INTO invite_use VALUES(new.network, new.admitter, 1)
  ON CONFLICT(network, invite) DO UPDATE SET used = used + 1; END;
CREATE TRIGGER IF NOT EXISTS member_went AFTER DELETE ON statements
 WHEN old.admitter IS NOT NULL AND NOT EXISTS(SELECT 1 FROM statements s
  WHERE s.network = old.network AND s.admitter = old.admitter AND s.node = old.node)
 BEGIN UPDATE invite_use SET used = used - 1
  WHERE network = old.network AND invite = old.admitter; END;

-- Numbers are never given twice, so that "behind n" stays true.
CREATE TABLE IF NOT EXISTS mail(
 n INTEGER PRIMARY KEY AUTOINCREMENT, network BLOB NOT NULL, sender BLOB NOT NULL,
 receiver BLOB NOT NULL, key BLOB NOT NULL, time INTEGER NOT NULL, size INTEGER NOT NULL,
 box BLOB NOT NULL, UNIQUE(network, receiver, sender, key));
CREATE INDEX IF NOT EXISTS mail_to ON mail(network, receiver, n, size);
CREATE INDEX IF NOT EXISTS mail_from ON mail(network, sender, size);
CREATE INDEX IF NOT EXISTS mail_time ON mail(time, size);
CREATE INDEX IF NOT EXISTS mail_pair ON mail(network, receiver, sender, size);

-- The time by which copies grow old (base/ageclock.h).
CREATE TABLE IF NOT EXISTS age_clock(one INTEGER PRIMARY KEY CHECK(one = 1),
 age INTEGER NOT NULL, seen INTEGER NOT NULL);

-- Bytes of each network's copies, kept by the database itself, so that no quota needs a scan.
-- Counted anew once a start, whatever was done to the file, but written only where the count was
-- wrong: a start must not need room on the disk.
CREATE TABLE IF NOT EXISTS mail_use(network BLOB PRIMARY KEY, bytes INTEGER NOT NULL)
 WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS mail_came AFTER INSERT ON mail BEGIN
 INSERT INTO mail_use VALUES(new.network, new.size)
 ON CONFLICT(network) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER IF NOT EXISTS mail_went AFTER DELETE ON mail BEGIN
 UPDATE mail_use SET bytes = bytes - old.size WHERE network = old.network; END;
DELETE FROM mail_use WHERE bytes <>
 (SELECT ifnull(sum(size), 0) FROM mail WHERE mail.network = mail_use.network);
INSERT INTO mail_use SELECT network, sum(size) FROM mail
 WHERE network NOT IN (SELECT network FROM mail_use) GROUP BY network;

-- The same of each sender, where a network's room is full.
CREATE TABLE IF NOT EXISTS mail_share(network BLOB NOT NULL, sender BLOB NOT NULL,
 bytes INTEGER NOT NULL, PRIMARY KEY(network, sender)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mail_share_most ON mail_share(network, bytes);
CREATE TRIGGER IF NOT EXISTS mail_share_came AFTER INSERT ON mail BEGIN
 INSERT INTO mail_share VALUES(new.network, new.sender, new.size)
 ON CONFLICT(network, sender) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER IF NOT EXISTS mail_share_went AFTER DELETE ON mail BEGIN
 UPDATE mail_share SET bytes = bytes - old.size
  WHERE network = old.network AND sender = old.sender;
 DELETE FROM mail_share
  WHERE network = old.network AND sender = old.sender AND bytes <= 0; END;
DELETE FROM mail_share WHERE bytes <> (SELECT ifnull(sum(size), 0) FROM mail
 WHERE mail.network = mail_share.network AND mail.sender = mail_share.sender);
INSERT INTO mail_share SELECT network, sender, sum(size) FROM mail
 WHERE NOT EXISTS(SELECT 1 FROM mail_share s
  WHERE s.network = mail.network AND s.sender = mail.sender) GROUP BY network, sender;
