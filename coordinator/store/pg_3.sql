-- Version 3: where a receiver's or a network's room is full, the sender that has most of it gives
-- way to one that has less; where the disk's is, the network (storeop.h). The triggers count what
-- each sender has.
CREATE TABLE p2pvpn.mail_share(network bytea, sender bytea, bytes bigint NOT NULL,
 PRIMARY KEY(network, sender));
CREATE INDEX mail_share_most ON p2pvpn.mail_share(network, bytes);
INSERT INTO p2pvpn.mail_share SELECT network, sender, sum(size) FROM p2pvpn.mail
 GROUP BY network, sender;
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

-- What was deleted for a copy that is refused in the end comes back with the inner block.
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

-- A coordinator of before makes no room at the cost of another network: it is refused, as ever.
CREATE OR REPLACE FUNCTION p2pvpn.keep(net bytea, rcvr bytea, sndr bytea, k bytea, t bigint,
 bx bytea, room bigint, old bigint, n_to bigint, b_to bigint, n_from bigint, b_from bigint,
 b_all bigint, n_pair bigint, b_pair bigint, b_net bigint, OUT code bigint)
 LANGUAGE plpgsql AS $$ BEGIN
 code := p2pvpn.keep(net, rcvr, sndr, k, t, bx, room, old, n_to, b_to, n_from, b_from,
  b_all, n_pair, b_pair, b_net, 0);
 EXCEPTION WHEN SQLSTATE 'P2002' THEN code := 1; END $$;
