-- p2pvpn-coordinator, schema 1 as the first packages wrote it: copies, no sums of them
PRAGMA application_id = 1882353763;
PRAGMA user_version = 1;
CREATE TABLE statements(epoch INTEGER NOT NULL, n INTEGER NOT NULL, network BLOB NOT NULL, hash BLOB NOT NULL,
  statement BLOB NOT NULL, receipt BLOB NOT NULL, foreign_receipt BLOB, admitter BLOB, node BLOB, serial
  INTEGER, PRIMARY KEY(epoch, n), UNIQUE(network, hash));
CREATE INDEX members ON statements(network, admitter, node) WHERE admitter IS NOT NULL;
CREATE TABLE mail(n INTEGER PRIMARY KEY AUTOINCREMENT, network BLOB NOT NULL, sender BLOB NOT NULL, receiver
  BLOB NOT NULL, key BLOB NOT NULL, time INTEGER NOT NULL, size INTEGER NOT NULL, box BLOB NOT NULL,
  UNIQUE(network, receiver, sender, key));
CREATE INDEX mail_to ON mail(network, receiver, n, size);
CREATE INDEX mail_from ON mail(network, sender, size);
CREATE INDEX mail_time ON mail(time, size);
INSERT INTO statements (epoch, n, network, hash, statement, receipt, foreign_receipt, admitter, node, serial)
  VALUES(7, 1, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', x'2222222222222222222222222222222222222222222222222222222222222222', x'22', x'0909090909090909', NULL, NULL, NULL, NULL);
INSERT INTO statements (epoch, n, network, hash, statement, receipt, foreign_receipt, admitter, node, serial)
  VALUES(7, 2, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', x'1111111111111111111111111111111111111111111111111111111111111111', x'11', x'0909090909090909', NULL, NULL, NULL, NULL);
INSERT INTO mail VALUES(5, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', x'b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0', x'c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0', x'01010101010101010101010101010101', 1700000000, 3, x'010203');
