-- The tables and functions of the schema "p2pvpn", which has everything that coordinators keep in
-- PostgreSQL. The error codes P2001 and P2002 are PV_PG_FENCED and PV_PG_ROOM (pg.h).
--
-- A table of one row has a key with one value.
CREATE TABLE p2pvpn.installation(alone boolean PRIMARY KEY DEFAULT true CHECK(alone),
 pk bytea NOT NULL, epoch bigint NOT NULL DEFAULT 0);
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
-- The log of each network: entry n names the entry before it.
CREATE TABLE p2pvpn.log(network bytea, n bigint, hash bytea NOT NULL, prev bytea NOT NULL,
 entry bytea NOT NULL, PRIMARY KEY(network, n));
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
-- Whoever has the lease has the database alone. The same holder again is one that was started anew:
-- it need not wait for its former self. Others take the lease when it is over, or when it was not
-- renewed for a second and its holder's session, which has the lock, has ended: a process that was
-- killed. patient: who asks has watched long enough that a living holder would have renewed it.
CREATE FUNCTION p2pvpn.take_lease(me bytea, who text, ms bigint, patient bigint,
 OUT got bigint, OUT other text) LANGUAGE plpgsql AS $$
 DECLARE gone boolean := pg_try_advisory_xact_lock(1882353764); BEGIN
 LOCK TABLE p2pvpn.coordinators IN SHARE ROW EXCLUSIVE MODE;
 SELECT c.name INTO other FROM p2pvpn.coordinators c WHERE c.until > clock_timestamp()
  ORDER BY c.id LIMIT 1;
 IF FOUND THEN RETURN; END IF;
 UPDATE p2pvpn.lease SET fence = fence + 1, holder = me, name = who,
  until = clock_timestamp() + ms * interval '1 millisecond'
  WHERE holder = me OR holder IS NULL OR (patient > 0 AND (until < clock_timestamp()
   OR (gone AND until < clock_timestamp() + (ms - 1000) * interval '1 millisecond')))
  RETURNING fence INTO got;
 IF got IS NOT NULL THEN PERFORM pg_try_advisory_lock(1882353764); END IF;
 SELECT l.name INTO other FROM p2pvpn.lease l; END $$;
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
-- 0: entry num is there now, behind the entry that it names; 1: the log does not end there. cut: what
-- stands from num on goes first.
CREATE FUNCTION p2pvpn.append(net bytea, num bigint, h bytea, pr bytea, e bytea, cut bigint)
 RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
 IF num > 1 AND NOT EXISTS(SELECT 1 FROM p2pvpn.log l WHERE l.network = net AND l.n = num - 1
  AND l.hash = pr) THEN RETURN 1; END IF;
 IF cut > 0 THEN DELETE FROM p2pvpn.log l WHERE l.network = net AND l.n >= num; END IF;
 INSERT INTO p2pvpn.log SELECT net, num, h, pr, e WHERE num = 1 +
  (SELECT coalesce(max(l.n), 0) FROM p2pvpn.log l WHERE l.network = net);
 IF FOUND OR EXISTS(SELECT 1 FROM p2pvpn.log l WHERE l.network = net AND l.n = num
  AND l.hash = h) THEN RETURN 0; END IF;
 RETURN 1; END $$;
CREATE FUNCTION p2pvpn.collect(net bytea, rcvr bytea, done bigint, behind bigint, old bigint)
 RETURNS TABLE(num bigint, snd bytea, bx bytea) LANGUAGE plpgsql AS $$ BEGIN
 DELETE FROM p2pvpn.mail m WHERE m.time < old;
 DELETE FROM p2pvpn.mail m WHERE m.n = done AND m.network = net AND m.receiver = rcvr;
 RETURN QUERY SELECT m.n, m.sender, m.box FROM p2pvpn.mail m WHERE m.network = net
  AND m.receiver = rcvr AND m.n > behind ORDER BY m.n LIMIT 1; END $$;

-- Coordinators that serve at the same time, and the home of each network among them.
-- until, steady: by the clock of the database. steady: since when it has renewed without a break. A
-- break is also an end of its own that is over, or later than its renewal can have set it: the
-- clock was set. The end of another that is later still says nothing of whether that one lives.
-- lost: counts homes that others took from it. homes: how many it has, as it said last.
CREATE TABLE p2pvpn.coordinators(id bigserial PRIMARY KEY, place bytea NOT NULL UNIQUE,
 name text NOT NULL, addrs text NOT NULL, until timestamptz NOT NULL,
 steady timestamptz NOT NULL, lost bigint NOT NULL DEFAULT 0,
 homes bigint NOT NULL DEFAULT 0, draining boolean NOT NULL DEFAULT false);
-- loaded: its holder has it in memory. It does not between being given it and being asked.
CREATE TABLE p2pvpn.homes(network bytea PRIMARY KEY, holder bigint NOT NULL,
 fence bigint NOT NULL, loaded boolean NOT NULL, since timestamptz NOT NULL,
 why text NOT NULL);
CREATE INDEX homes_of ON p2pvpn.homes(holder);
-- Epochs of receipts: no two coordinators have the same, and a later one is higher.
CREATE FUNCTION p2pvpn.new_epoch(above bigint) RETURNS bigint LANGUAGE sql AS $$
 UPDATE p2pvpn.installation SET epoch = greatest(epoch, above,
  (SELECT coalesce(max(s.epoch), 0) FROM p2pvpn.statements s),
  extract(epoch FROM clock_timestamp())::bigint) + 1 RETURNING epoch $$;
CREATE FUNCTION p2pvpn.renew_member(me bigint, ms bigint, n bigint, away bigint,
 OUT got bigint, OUT living bigint, OUT few bigint) LANGUAGE plpgsql AS $$ BEGIN
 UPDATE p2pvpn.coordinators SET homes = n, draining = away > 0,
  steady = CASE WHEN until BETWEEN clock_timestamp()
   AND clock_timestamp() + ms * interval '1 millisecond'
   THEN steady ELSE clock_timestamp() END,
  until = clock_timestamp() + ms * interval '1 millisecond' WHERE id = me
  RETURNING lost INTO got;
 SELECT count(*), min(c.homes) FILTER (WHERE c.id <> me AND NOT c.draining)
  INTO living, few FROM p2pvpn.coordinators c WHERE c.until BETWEEN clock_timestamp()
   AND clock_timestamp() + 2 * ms * interval '1 millisecond';
 IF got IS NOT NULL AND NOT EXISTS(SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
  AND pid = pg_backend_pid() AND classid = 1882353764 AND objid = me::int::oid) THEN
  PERFORM pg_try_advisory_lock(1882353764, me::int); END IF; END $$;
CREATE FUNCTION p2pvpn.leave_cluster(me bigint) RETURNS void LANGUAGE sql AS $$
 DELETE FROM p2pvpn.coordinators WHERE id = me $$;

-- Every transaction that writes calls it first for each network, and shares the row until the
-- commit: nobody can take the home between the check and the write.
CREATE FUNCTION p2pvpn.check_home(net bytea, me bigint, f bigint) RETURNS bigint
 LANGUAGE plpgsql AS $$ BEGIN
 PERFORM 1 FROM p2pvpn.homes WHERE network = net AND holder = me AND fence = f FOR SHARE;
 IF NOT FOUND THEN RAISE EXCEPTION 'another coordinator is the home of this network'
  USING ERRCODE = 'P2001'; END IF; RETURN f; END $$;
-- What pv_home_judge() goes by. state: pv_home_holder.
CREATE FUNCTION p2pvpn.home_facts(net bytea, me bigint, ms bigint, OUT known bigint,
 OUT whose bigint, OUT f bigint, OUT held bigint, OUT state bigint, OUT age bigint,
 OUT patient bigint, OUT addr text, OUT few bigint, OUT few_homes bigint,
 OUT few_addr text) LANGUAGE plpgsql AS $$
 DECLARE now timestamptz := clock_timestamp(); h p2pvpn.homes; c p2pvpn.coordinators; BEGIN
 SELECT * INTO h FROM p2pvpn.homes WHERE network = net;
 known := (h.network IS NOT NULL OR EXISTS(SELECT 1 FROM p2pvpn.statements
  WHERE network = net))::int;
 whose := coalesce(h.holder, 0); f := coalesce(h.fence, 0);
 held := coalesce(h.loaded, false)::int;
 age := coalesce(extract(epoch FROM now - h.since) * 1000, 0)::bigint;
 SELECT * INTO c FROM p2pvpn.coordinators WHERE id = h.holder;
 addr := coalesce(c.addrs, '');
 state := CASE WHEN c.id IS NULL THEN 0
  WHEN c.until < now OR c.until > now + 2 * ms * interval '1 millisecond' THEN 2
  WHEN c.until < now + (ms - 1000) * interval '1 millisecond' AND NOT EXISTS(
   SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 1882353764
   AND objid = c.id::int::oid) THEN 2 ELSE 1 END;
 SELECT (now - m.steady >= ms * interval '1 millisecond' AND m.until BETWEEN now
  AND now + ms * interval '1 millisecond')::int INTO patient
  FROM p2pvpn.coordinators m WHERE m.id = me;
 SELECT o.id, o.homes, o.addrs INTO few, few_homes, few_addr
  FROM p2pvpn.coordinators o WHERE NOT o.draining AND o.id <> me
  AND o.until BETWEEN now AND now + 2 * ms * interval '1 millisecond'
  ORDER BY o.homes, o.id LIMIT 1; END $$;
-- Changes the holder where nobody has since the fence was `old` (0: there was none); NULL: somebody
-- has. The one that loses it learns of it by `lost`.
CREATE FUNCTION p2pvpn.claim(net bytea, whose bigint, old bigint, held bigint, reason text,
 OUT got bigint) LANGUAGE plpgsql AS $$ DECLARE was bigint; BEGIN
 IF old = 0 THEN INSERT INTO p2pvpn.homes VALUES(net, whose, 1, held > 0, clock_timestamp(),
   reason) ON CONFLICT DO NOTHING RETURNING fence INTO got; RETURN; END IF;
 SELECT holder INTO was FROM p2pvpn.homes WHERE network = net AND fence = old FOR UPDATE;
 IF NOT FOUND THEN RETURN; END IF;
 UPDATE p2pvpn.homes SET holder = whose, fence = fence + 1, loaded = held > 0,
  since = CASE WHEN holder = whose THEN since ELSE clock_timestamp() END,
  why = CASE WHEN holder = whose THEN why ELSE reason END WHERE network = net
  RETURNING fence INTO got;
 IF was <> whose THEN UPDATE p2pvpn.coordinators SET lost = lost + 1 WHERE id = was;
 END IF; END $$;
-- Of a network that is being created here. One that was, at a coordinator that is gone, by the same
-- request, is taken.
CREATE FUNCTION p2pvpn.claim_new(net bytea, me bigint) RETURNS bigint LANGUAGE plpgsql AS $$
 DECLARE got bigint; BEGIN
 INSERT INTO p2pvpn.homes AS h VALUES(net, me, 1, true, clock_timestamp(), 'created')
  ON CONFLICT(network) DO UPDATE SET holder = me, fence = h.fence + 1, loaded = true
  WHERE h.holder = me OR NOT EXISTS(SELECT 1 FROM p2pvpn.coordinators c
   WHERE c.id = h.holder AND c.until > clock_timestamp()) RETURNING h.fence INTO got;
 IF NOT FOUND THEN RAISE EXCEPTION 'another coordinator is the home of this network'
  USING ERRCODE = 'P2001'; END IF; RETURN got; END $$;

-- When a receiver's or a network's room is full, the sender that has most of it gives way to one
-- that has less; when the disk's room is full, the network (storeop.h). The triggers count the
-- bytes of each sender.
CREATE TABLE p2pvpn.mail_share(network bytea, sender bytea, bytes bigint NOT NULL,
 PRIMARY KEY(network, sender));
CREATE INDEX mail_share_most ON p2pvpn.mail_share(network, bytes);
CREATE FUNCTION p2pvpn.mail_share_came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 INSERT INTO p2pvpn.mail_share AS s VALUES(new.network, new.sender, new.size)
  ON CONFLICT(network, sender) DO UPDATE SET bytes = s.bytes + new.size;
 RETURN NULL; END $$;
CREATE TRIGGER mail_share_came AFTER INSERT ON p2pvpn.mail FOR EACH ROW
 EXECUTE FUNCTION p2pvpn.mail_share_came();
CREATE FUNCTION p2pvpn.mail_share_went() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 UPDATE p2pvpn.mail_share SET bytes = bytes - old.size
  WHERE network = old.network AND sender = old.sender;
 DELETE FROM p2pvpn.mail_share
  WHERE network = old.network AND sender = old.sender AND bytes <= 0;
 RETURN NULL; END $$;
CREATE TRIGGER mail_share_went AFTER DELETE ON p2pvpn.mail FOR EACH ROW
 EXECUTE FUNCTION p2pvpn.mail_share_went();

-- What gives way: always the newest copies of the sender that has most left, as long as it has more
-- than the one that comes would have ("upto" is what its sender had when a copy came, so the highest
-- goes first), so many that there is room, or none. All in one statement: a copy that finds no room
-- costs one look, however small those are that would have had to give way. Of a network (without a
-- receiver) the few senders that have most have all that can be had.
CREATE FUNCTION p2pvpn.give_way(net bytea, rcvr bytea, sndr bytea, own bigint,
 copies bigint, bytes bigint, each_copy bigint, OUT done boolean) LANGUAGE plpgsql AS $$ BEGIN
 IF rcvr IS NOT NULL THEN
  WITH s AS (SELECT n, size, sum(size + each_copy) OVER (PARTITION BY sender ORDER BY n)
   AS upto FROM p2pvpn.mail WHERE network = net AND receiver = rcvr AND sender <> sndr),
  o AS (SELECT n, row_number() OVER w AS k, sum(size) OVER w AS freed FROM s
   WHERE upto > own WINDOW w AS (ORDER BY upto DESC, n DESC))
  DELETE FROM p2pvpn.mail m USING o WHERE m.n = o.n AND o.k <=
   (SELECT min(k) FROM o WHERE k >= copies AND freed >= bytes);
 ELSE
  WITH s AS (SELECT n, size, sum(size + each_copy) OVER (PARTITION BY sender ORDER BY n)
   AS upto FROM p2pvpn.mail WHERE network = net AND sender IN
   (SELECT h.sender FROM p2pvpn.mail_share h WHERE h.network = net AND h.sender IS DISTINCT FROM sndr
    ORDER BY h.bytes DESC LIMIT 32)),
  o AS (SELECT n, row_number() OVER w AS k, sum(size) OVER w AS freed FROM s
   WHERE upto > own WINDOW w AS (ORDER BY upto DESC, n DESC))
  DELETE FROM p2pvpn.mail m USING o WHERE m.n = o.n AND o.k <=
   (SELECT min(k) FROM o WHERE k >= copies AND freed >= bytes);
 END IF;
 done := FOUND; END $$;

-- 0: kept, or there already; 1: a quota is full. n_pair, b_pair, b_net: what one sender and one
-- network may always use; more only while half of the whole is free (storeop.h). Copies deleted for
-- a copy that is refused in the end come back with the inner block.
--
-- All that writes copies of a network shares the row of its home (check_home), but for who makes
-- room on the disk at the cost of another network: that one has the row for itself, so the rows
-- behind it, the sums among them, are nobody else's. It does so in a transaction of its own
-- (alone), which has the advisory lock of room makers before any row, and takes from one network.
-- So whoever it waits for waits neither for it nor for another that makes room. In a transaction
-- with other operations the function only says that this is to be done.
CREATE FUNCTION p2pvpn.keep(net bytea, rcvr bytea, sndr bytea, k bytea, t bigint,
 bx bytea, room bigint, old bigint, n_to bigint, b_to bigint, n_from bigint, b_from bigint,
 b_all bigint, n_pair bigint, b_pair bigint, b_net bigint, alone bigint, OUT code bigint)
 LANGUAGE plpgsql AS $$
 DECLARE len bigint := octet_length(bx); nt bigint; bt bigint; nf bigint; bf bigint;
 np bigint; bp bigint; bn bigint; ba bigint; over bigint; most bigint; other bytea;
 done boolean; BEGIN
 DELETE FROM p2pvpn.mail WHERE time < old;
 code := 1;
 IF EXISTS(SELECT 1 FROM p2pvpn.mail WHERE network = net AND receiver = rcvr
  AND sender = sndr AND key = k) THEN code := 0; RETURN; END IF;
 SELECT count(*), coalesce(sum(size), 0) INTO nf, bf FROM p2pvpn.mail
  WHERE network = net AND sender = sndr;
 IF nf >= n_from OR bf + len > b_from THEN RETURN; END IF;
 BEGIN FOR turn IN 0..32 LOOP
  SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE sender = sndr),
   coalesce(sum(size) FILTER (WHERE sender = sndr), 0) INTO nt, bt, np, bp
   FROM p2pvpn.mail WHERE network = net AND receiver = rcvr;
  SELECT coalesce(sum(bytes), 0), coalesce(sum(bytes) FILTER (WHERE network = net), 0)
   INTO ba, bn FROM p2pvpn.mail_use;
  IF (np >= n_pair OR bp + len > b_pair) AND (nt >= n_to / 2 OR bt + len > b_to / 2) THEN
   RAISE EXCEPTION 'more than its part'; END IF;
  over := greatest(least(bn + len - b_net, ba + len - b_all / 2),
   CASE WHEN room > 0 THEN bn + len - room ELSE 0 END);
  IF nt >= n_to OR bt + len > b_to THEN
   done := p2pvpn.give_way(net, rcvr, sndr, bp + len + (np + 1) * (b_to / n_to),
    nt + 1 - n_to, bt + len - b_to, b_to / n_to);
  ELSIF over > 0 THEN
   done := p2pvpn.give_way(net, NULL, sndr, bf + len, 0, over, 0);
  ELSIF ba + len > b_all THEN
   IF other IS NULL THEN
    SELECT u.network, u.bytes INTO other, most FROM p2pvpn.mail_use u
     WHERE u.network <> net ORDER BY u.bytes DESC LIMIT 1;
    IF other IS NULL OR most <= bn + len THEN RAISE EXCEPTION 'nobody has more'; END IF;
    IF alone = 0 THEN RAISE EXCEPTION 'room is to be made'
     USING ERRCODE = 'P2002'; END IF;
    PERFORM 1 FROM p2pvpn.homes WHERE network = other FOR UPDATE; END IF;
   SELECT u.bytes INTO most FROM p2pvpn.mail_use u WHERE u.network = other;
   done := most > bn + len AND p2pvpn.give_way(other, NULL, NULL, 0, 0,
    least(ba + len - b_all, most - bn - len), 0);
  ELSE
   INSERT INTO p2pvpn.mail(network, receiver, sender, key, time, size, box)
    VALUES(net, rcvr, sndr, k, t, len, bx); code := 0; RETURN; END IF;
  IF done IS NOT TRUE THEN RAISE EXCEPTION 'nobody has more'; END IF;
 END LOOP; RAISE EXCEPTION 'too many turns';
 EXCEPTION WHEN raise_exception THEN RETURN; END; END $$;

CREATE FUNCTION p2pvpn.drop_network(net bytea) RETURNS void LANGUAGE sql AS $$
 DELETE FROM p2pvpn.statements WHERE network = net;
 DELETE FROM p2pvpn.log WHERE network = net;
 DELETE FROM p2pvpn.mail WHERE network = net;
 DELETE FROM p2pvpn.mail_use WHERE network = net;
 DELETE FROM p2pvpn.redeemed WHERE network = net;
 DELETE FROM p2pvpn.invites WHERE network = net;
 DELETE FROM p2pvpn.homes WHERE network = net $$;
