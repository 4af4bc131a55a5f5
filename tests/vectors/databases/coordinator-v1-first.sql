-- p2pvpn-coordinator, schema 1 as first written: statements alone
PRAGMA application_id = 1882353763;
PRAGMA user_version = 1;
CREATE TABLE statements(epoch INTEGER NOT NULL, n INTEGER NOT NULL, network BLOB NOT NULL, hash BLOB NOT NULL,
  statement BLOB NOT NULL, receipt BLOB NOT NULL, foreign_receipt BLOB, admitter BLOB, node BLOB, serial
  INTEGER, PRIMARY KEY(epoch, n), UNIQUE(network, hash));
CREATE INDEX members ON statements(network, admitter, node) WHERE admitter IS NOT NULL;
INSERT INTO statements (epoch, n, network, hash, statement, receipt, foreign_receipt, admitter, node, serial)
  VALUES(7, 1, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', x'2222222222222222222222222222222222222222222222222222222222222222', x'22', x'0909090909090909', NULL, NULL, NULL, NULL);
INSERT INTO statements (epoch, n, network, hash, statement, receipt, foreign_receipt, admitter, node, serial)
  VALUES(7, 2, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', x'1111111111111111111111111111111111111111111111111111111111111111', x'11', x'0909090909090909', NULL, NULL, NULL, NULL);
