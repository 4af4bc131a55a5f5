-- The longer statements of this folder, each an array of its own (cmake/text.cmake); $1 is a value of
-- PostgreSQL's, ?1 one of SQLite's. The short ones stand where they are used.

-- statement join_row
-- A coordinator joins those that share the database, unless another one has the lease. The same place
-- again is one that was started anew; what its former self had has no holder any more.
WITH other AS (SELECT l.name FROM p2pvpn.lease l
  WHERE l.holder IS NOT NULL AND l.holder <> $1 AND l.until > clock_timestamp() FOR SHARE),
 free AS (UPDATE p2pvpn.lease SET holder = NULL, until = '-infinity', fence = fence + 1
  WHERE NOT EXISTS(SELECT 1 FROM other)),
 gone AS (DELETE FROM p2pvpn.coordinators WHERE place <> $1
  AND until < clock_timestamp() - interval '1 day' AND NOT EXISTS(SELECT 1 FROM other)),
 me AS (INSERT INTO p2pvpn.coordinators(place, name, addrs, until, steady)
  SELECT $1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond', clock_timestamp()
   WHERE NOT EXISTS(SELECT 1 FROM other)
  ON CONFLICT(place) DO UPDATE SET id = excluded.id, name = excluded.name, addrs = excluded.addrs,
   until = excluded.until, steady = excluded.steady, lost = 0, homes = 0, draining = false
  RETURNING id)
SELECT (SELECT id FROM me), (SELECT name FROM other),
 CASE WHEN EXISTS(SELECT 1 FROM me) THEN p2pvpn.new_epoch(0) END,
 pg_try_advisory_lock(1882353764, (SELECT id FROM me)::int)

-- statement age
-- By age copies are deleted only while the clock has stood for hours, which each coordinator's row
-- says, whatever jumps were before; and none is from the future, or it would stay for ever. Of a
-- network whose home stores just now they stay until the next look: a coordinator that holds copies of
-- many networks waits for nobody.
WITH t AS (SELECT extract(epoch FROM clock_timestamp())::bigint AS now FROM p2pvpn.coordinators
  WHERE id = $1 AND until >= clock_timestamp()
  AND clock_timestamp() - steady >= $2::bigint * interval '1 second'),
 old AS (SELECT DISTINCT m.network FROM p2pvpn.mail m, t
  WHERE m.time > t.now OR m.time < t.now - $3::bigint),
 free AS (SELECT network FROM p2pvpn.homes WHERE network IN (SELECT network FROM old)
  FOR UPDATE SKIP LOCKED),
 ours AS (SELECT network FROM free
  UNION ALL SELECT network FROM old WHERE network NOT IN (SELECT network FROM p2pvpn.homes)),
 late AS (UPDATE p2pvpn.mail m SET time = t.now FROM t
  WHERE m.time > t.now AND m.network IN (SELECT network FROM ours))
DELETE FROM p2pvpn.mail m USING t
 WHERE m.time < t.now - $3::bigint AND m.network IN (SELECT network FROM ours)

-- statement has_joined
-- Was this node let in, and has it neither been removed since nor left? A leave ends what has no
-- higher serial. The bytes compared stand at fixed places of a statement (PROTOCOL-NETWORK.md): type
-- at 1, signer at 18, then what it says: of a removal (6) kind and key, of a leave (7) its serial;
-- that of a member statement at 114. SQL counts from 1. A removal counts here whoever signed it,
-- which only somebody with that right at some time can have done.
SELECT EXISTS(SELECT 1 FROM p2pvpn.statements m
 WHERE m.network = $1 AND m.node = $2 AND m.admitter IS NOT NULL
 AND NOT EXISTS(SELECT 1 FROM p2pvpn.statements e
  WHERE e.network = $1 AND e.admitter IS NULL
  AND (substring(e.statement FROM 2 FOR 1) = '\x06'::bytea
   AND substring(e.statement FROM 51 FOR 33) = '\x01'::bytea || $2
   OR substring(e.statement FROM 2 FOR 1) = '\x07'::bytea
   AND substring(e.statement FROM 19 FOR 32) = $2
   AND substring(e.statement FROM 51 FOR 8) >= substring(m.statement FROM 115 FOR 8))))::int::bigint

-- statement copy_room
-- What there is of receiver ?2, of sender ?3, of the two, of network ?1 and in all; in the middle
-- whether this very copy, ?4, is there.
SELECT (SELECT count(*) FROM mail WHERE network = ?1 AND receiver = ?2),
 (SELECT total(size) FROM mail WHERE network = ?1 AND receiver = ?2),
 (SELECT count(*) FROM mail WHERE network = ?1 AND sender = ?3),
 (SELECT total(size) FROM mail WHERE network = ?1 AND sender = ?3),
 EXISTS(SELECT 1 FROM mail WHERE network = ?1 AND receiver = ?2 AND sender = ?3 AND key = ?4),
 (SELECT count(*) FROM mail WHERE network = ?1 AND receiver = ?2 AND sender = ?3),
 (SELECT total(size) FROM mail WHERE network = ?1 AND receiver = ?2 AND sender = ?3),
 (SELECT total(bytes) FROM mail_use WHERE network = ?1),
 (SELECT total(bytes) FROM mail_use)

-- statement redeem
-- Checks the uses of an invite and takes one in a single statement: there is no moment between the two.
INSERT INTO statements
 (epoch, n, network, hash, statement, receipt, foreign_receipt, admitter, node, serial, mark)
SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?13
 WHERE (SELECT total(used) FROM invite_use WHERE network = ?3 AND invite = ?8)
  - EXISTS(SELECT 1 FROM statements WHERE network = ?3 AND admitter = ?8 AND node = ?9) < ?11
 AND NOT EXISTS(SELECT 1 FROM statements
  WHERE network = ?3 AND admitter = ?8 AND node = ?9 AND serial >= ?12)
