-- Version 1. What a version made is never edited once it was released: the next one changes it.
-- The error codes P2001 and P2002 are PV_PG_FENCED and PV_PG_ROOM (pg.h).
--
-- Whoever shares the database with others finds all of it in one schema. A row that must be alone
-- has a key with one value.
CREATE TABLE p2pvpn.installation(alone boolean PRIMARY KEY DEFAULT true CHECK(alone),
 pk bytea NOT NULL);
CREATE TABLE p2pvpn.lease(alone boolean PRIMARY KEY DEFAULT true CHECK(alone),
 holder bytea, name text NOT NULL DEFAULT '', fence bigint NOT NULL DEFAULT 0,
 until timestamptz NOT NULL DEFAULT '-infinity');
INSERT INTO p2pvpn.lease DEFAULT VALUES;
-- admitter, node and serial are those of member statements and NULL in others.
CREATE TABLE p2pvpn.statements(
 epoch bigint NOT NULL, n bigint NOT NULL, network bytea NOT NULL, hash bytea NOT NULL,
 statement bytea NOT NULL, receipt bytea NOT NULL, foreign_receipt bytea,
 admitter bytea, node bytea, serial bigint, mark bytea,
 PRIMARY KEY(epoch, n), UNIQUE(network, hash));
CREATE INDEX members ON p2pvpn.statements(network, admitter, node)
 WHERE admitter IS NOT NULL;
-- How often an invite was used: one row for each node, and their number, so that no registration
-- counts them anew.
CREATE TABLE p2pvpn.redeemed(network bytea, invite bytea, node bytea,
 PRIMARY KEY(network, invite, node));
CREATE TABLE p2pvpn.invites(network bytea, invite bytea, used bigint NOT NULL,
 PRIMARY KEY(network, invite));
CREATE TABLE p2pvpn.mail(n bigserial PRIMARY KEY, network bytea NOT NULL,
 sender bytea NOT NULL, receiver bytea NOT NULL, key bytea NOT NULL, time bigint NOT NULL,
 size bigint NOT NULL, box bytea NOT NULL, UNIQUE(network, receiver, sender, key));
CREATE INDEX mail_to ON p2pvpn.mail(network, receiver, n) INCLUDE(size);
CREATE INDEX mail_from ON p2pvpn.mail(network, sender) INCLUDE(size);
CREATE INDEX mail_time ON p2pvpn.mail(time);
CREATE TABLE p2pvpn.mail_use(network bytea PRIMARY KEY, bytes bigint NOT NULL);

-- The numbers that quotas and uses are compared with, kept by the database itself.
CREATE FUNCTION p2pvpn.member_came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 INSERT INTO p2pvpn.redeemed VALUES(new.network, new.admitter, new.node)
  ON CONFLICT DO NOTHING;
 IF FOUND THEN INSERT INTO p2pvpn.invites AS i VALUES(new.network, new.admitter, 1)
  ON CONFLICT(network, invite) DO UPDATE SET used = i.used + 1; END IF;
 RETURN NULL; END $$;
CREATE TRIGGER member_came AFTER INSERT ON p2pvpn.statements FOR EACH ROW
 WHEN (new.admitter IS NOT NULL) EXECUTE FUNCTION p2pvpn.member_came();
CREATE FUNCTION p2pvpn.member_went() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 IF NOT EXISTS(SELECT 1 FROM p2pvpn.statements WHERE network = old.network
  AND admitter = old.admitter AND node = old.node) THEN
 DELETE FROM p2pvpn.redeemed WHERE network = old.network AND invite = old.admitter
  AND node = old.node;
 IF FOUND THEN UPDATE p2pvpn.invites SET used = used - 1 WHERE network = old.network
  AND invite = old.admitter; END IF; END IF;
 RETURN NULL; END $$;
CREATE TRIGGER member_went AFTER DELETE ON p2pvpn.statements FOR EACH ROW
 WHEN (old.admitter IS NOT NULL) EXECUTE FUNCTION p2pvpn.member_went();
CREATE FUNCTION p2pvpn.mail_came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 INSERT INTO p2pvpn.mail_use AS u VALUES(new.network, new.size)
  ON CONFLICT(network) DO UPDATE SET bytes = u.bytes + new.size;
 RETURN NULL; END $$;
CREATE TRIGGER mail_came AFTER INSERT ON p2pvpn.mail FOR EACH ROW
 EXECUTE FUNCTION p2pvpn.mail_came();
CREATE FUNCTION p2pvpn.mail_went() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 UPDATE p2pvpn.mail_use SET bytes = bytes - old.size WHERE network = old.network;
 RETURN NULL; END $$;
CREATE TRIGGER mail_went AFTER DELETE ON p2pvpn.mail FOR EACH ROW
 EXECUTE FUNCTION p2pvpn.mail_went();

-- Every transaction that writes calls check_fence() first. It shares the lease's row until the
-- commit, so no other coordinator can take the lease between the check and the write.
CREATE FUNCTION p2pvpn.check_fence(f bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
 PERFORM 1 FROM p2pvpn.lease WHERE fence = f FOR SHARE;
 IF NOT FOUND THEN RAISE EXCEPTION 'another coordinator has taken over'
  USING ERRCODE = 'P2001'; END IF; END $$;
-- The same holder again is one that was started anew: it need not wait for its former self. Others
-- take the lease when it is over, or when it was not renewed for a second and its holder's session,
-- which has the lock, has ended: a process that was killed. patient: who asks has watched long
-- enough that a living holder would have renewed it.
CREATE FUNCTION p2pvpn.take_lease(me bytea, who text, ms bigint, patient bigint,
 OUT got bigint, OUT other text) LANGUAGE plpgsql AS $$
 DECLARE gone boolean := pg_try_advisory_xact_lock(1882353764); BEGIN
 UPDATE p2pvpn.lease SET fence = fence + 1, holder = me, name = who,
  until = clock_timestamp() + ms * interval '1 millisecond'
  WHERE holder = me OR holder IS NULL OR (patient > 0 AND (until < clock_timestamp()
   OR (gone AND until < clock_timestamp() + (ms - 1000) * interval '1 millisecond')))
  RETURNING fence INTO got;
 IF got IS NOT NULL THEN PERFORM pg_try_advisory_lock(1882353764); END IF;
 SELECT l.name INTO other FROM p2pvpn.lease l; END $$;
CREATE FUNCTION p2pvpn.renew_lease(me bytea, f bigint, ms bigint, OUT got bigint)
 LANGUAGE plpgsql AS $$ BEGIN
 UPDATE p2pvpn.lease SET until = clock_timestamp() + ms * interval '1 millisecond'
  WHERE holder = me AND fence = f RETURNING fence INTO got;
 IF got IS NOT NULL AND NOT EXISTS(SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
  AND pid = pg_backend_pid() AND objid = 1882353764) THEN
  PERFORM pg_try_advisory_lock(1882353764); END IF; END $$;
CREATE FUNCTION p2pvpn.release_lease(me bytea, f bigint) RETURNS void
 LANGUAGE sql AS $$ UPDATE p2pvpn.lease SET holder = NULL, until = '-infinity'
  WHERE holder = me AND fence = f $$;

-- The operations of storeop.h that must look before they write.
CREATE FUNCTION p2pvpn.redeem(e bigint, num bigint, net bytea, h bytea, st bytea, rc bytea,
 frc bytea, adm bytea, nod bytea, ser bigint, mk bytea, uses bigint, minser bigint,
 OUT code bigint, OUT existing bytea) LANGUAGE plpgsql AS $$
 DECLARE mine bigint := 0; BEGIN
 SELECT s.hash INTO existing FROM p2pvpn.statements s WHERE s.network = net
  AND s.admitter = adm AND s.node = nod AND s.serial >= minser ORDER BY s.epoch, s.n LIMIT 1;
 IF FOUND THEN code := 1; RETURN; END IF;
 SELECT count(*) INTO mine FROM p2pvpn.redeemed r WHERE r.network = net AND r.invite = adm
  AND r.node = nod;
 IF (SELECT coalesce(sum(i.used), 0) FROM p2pvpn.invites i WHERE i.network = net
  AND i.invite = adm) - mine >= uses THEN code := 2; RETURN; END IF;
 INSERT INTO p2pvpn.statements VALUES(e, num, net, h, st, rc, frc, adm, nod, ser, mk);
 code := 0; END $$;
-- 0: kept, or there already; 1: a quota is full. pair, net_part: what one sender, one network may
-- always use; more only while half of the whole is free (storeop.h).
CREATE FUNCTION p2pvpn.keep(net bytea, rcvr bytea, sndr bytea, k bytea, t bigint, bx bytea,
 room bigint, old bigint, n_to bigint, b_to bigint, n_from bigint, b_from bigint, b_all 
bigint,
 n_pair bigint, b_pair bigint, b_net bigint, OUT code bigint) LANGUAGE plpgsql AS $$
 DECLARE len bigint := octet_length(bx); nt bigint; bt bigint; nf bigint; bf bigint;
 np bigint; bp bigint; bn bigint; ba bigint; BEGIN
 DELETE FROM p2pvpn.mail WHERE time < old;
 code := 0;
 IF EXISTS(SELECT 1 FROM p2pvpn.mail WHERE network = net AND receiver = rcvr
  AND sender = sndr AND key = k) THEN RETURN; END IF;
 SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE sender = sndr),
  coalesce(sum(size) FILTER (WHERE sender = sndr), 0) INTO nt, bt, np, bp
  FROM p2pvpn.mail WHERE network = net AND receiver = rcvr;
 SELECT count(*), coalesce(sum(size), 0) INTO nf, bf FROM p2pvpn.mail
  WHERE network = net AND sender = sndr;
 SELECT coalesce(sum(bytes), 0), coalesce(sum(bytes) FILTER (WHERE network = net), 0)
  INTO ba, bn FROM p2pvpn.mail_use;
 IF nt >= n_to OR bt + len > b_to OR nf >= n_from OR bf + len > b_from OR ba + len > b_all
  OR (room > 0 AND bn + len > room)
  OR ((np >= n_pair OR bp + len > b_pair) AND (nt >= n_to / 2 OR bt + len > b_to / 2))
  OR (bn + len > b_net AND ba + len > b_all / 2) THEN code := 1; RETURN; END IF;
 INSERT INTO p2pvpn.mail(network, receiver, sender, key, time, size, box)
  VALUES(net, rcvr, sndr, k, t, len, bx); END $$;
CREATE FUNCTION p2pvpn.collect(net bytea, rcvr bytea, done bigint, behind bigint, old bigint)
 RETURNS TABLE(num bigint, snd bytea, bx bytea) LANGUAGE plpgsql AS $$ BEGIN
 DELETE FROM p2pvpn.mail m WHERE m.time < old;
 DELETE FROM p2pvpn.mail m WHERE m.n = done AND m.network = net AND m.receiver = rcvr;
 RETURN QUERY SELECT m.n, m.sender, m.box FROM p2pvpn.mail m WHERE m.network = net
  AND m.receiver = rcvr AND m.n > behind ORDER BY m.n LIMIT 1; END $$;
CREATE FUNCTION p2pvpn.drop_network(net bytea) RETURNS void LANGUAGE sql AS $$
 DELETE FROM p2pvpn.statements WHERE network = net;
 DELETE FROM p2pvpn.mail WHERE network = net;
 DELETE FROM p2pvpn.mail_use WHERE network = net;
 DELETE FROM p2pvpn.redeemed WHERE network = net;
 DELETE FROM p2pvpn.invites WHERE network = net $$;
