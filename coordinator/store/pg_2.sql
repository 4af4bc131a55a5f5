-- Version 2: coordinators that serve at the same time, and the home of each network among them.
-- until, steady: by the clock of the database. steady: since when it has renewed without a break. A
-- break is also an end of its own that is over, or later than its renewal can have set it: the
-- clock was set. The end of another that is later still says nothing of whether that one lives.
-- lost: counts homes that others took from it. homes: how many it has, as it said last.
ALTER TABLE p2pvpn.installation ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
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
-- Whoever has the lease has the database alone: a coordinator of before homes, or an import.
CREATE OR REPLACE FUNCTION p2pvpn.take_lease(me bytea, who text, ms bigint, patient bigint,
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
-- got NULL: other has the lease. The same place again is one that was started anew; what its former
-- self had has no holder any more.
CREATE FUNCTION p2pvpn.join_cluster(me bytea, who text, addr text, ms bigint,
 OUT got bigint, OUT other text, OUT ep bigint) LANGUAGE plpgsql AS $$ BEGIN
 LOCK TABLE p2pvpn.coordinators IN SHARE ROW EXCLUSIVE MODE;
 SELECT l.name INTO other FROM p2pvpn.lease l WHERE l.holder IS NOT NULL
  AND l.holder <> me AND l.until > clock_timestamp() FOR SHARE;
 IF FOUND THEN RETURN; END IF;
 UPDATE p2pvpn.lease SET holder = NULL, until = '-infinity', fence = fence + 1;
 DELETE FROM p2pvpn.coordinators WHERE place = me
  OR until < clock_timestamp() - interval '1 day';
 INSERT INTO p2pvpn.coordinators(place, name, addrs, until, steady) VALUES(me, who, addr,
  clock_timestamp() + ms * interval '1 millisecond', clock_timestamp()) RETURNING id INTO got;
 PERFORM pg_try_advisory_lock(1882353764, got::int);
 ep := p2pvpn.new_epoch(0); END $$;
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
CREATE OR REPLACE FUNCTION p2pvpn.drop_network(net bytea) RETURNS void LANGUAGE sql AS $$
 DELETE FROM p2pvpn.statements WHERE network = net;
 DELETE FROM p2pvpn.mail WHERE network = net;
 DELETE FROM p2pvpn.mail_use WHERE network = net;
 DELETE FROM p2pvpn.redeemed WHERE network = net;
 DELETE FROM p2pvpn.invites WHERE network = net;
 DELETE FROM p2pvpn.homes WHERE network = net $$;
