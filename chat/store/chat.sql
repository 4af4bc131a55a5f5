-- What chat keeps, in a database of its own. Run at each start: what is there stays as it is.

-- The time by which things grow old (base/ageclock.h).
CREATE TABLE IF NOT EXISTS age_clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    age_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL) STRICT;

-- --- messages ------------------------------------------------------------------------------------

-- Every message of both directions; rowid is the order of arrival here.
CREATE TABLE IF NOT EXISTS chat_message (
    n INTEGER PRIMARY KEY,
    peer BLOB NOT NULL,
    id BLOB NOT NULL,
    outgoing INTEGER NOT NULL,
    state INTEGER NOT NULL,                -- one less than enum pv_chat_state: store_chat.c says why
    owed INTEGER NOT NULL DEFAULT 0,       -- incoming: a read receipt is to be sent
    seq INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    peer_name TEXT NOT NULL,
    text TEXT NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,       -- outgoing, not delivered: handed over
    author BLOB,                           -- of a text in a room, whose key peer then is
    arrived_s INTEGER NOT NULL,            -- our clock when it was stored
    hidden INTEGER NOT NULL DEFAULT 0,     -- deleted, but for members of its room
    UNIQUE (peer, id, outgoing)) STRICT;
CREATE INDEX IF NOT EXISTS chat_outbox ON chat_message (peer, seq) WHERE outgoing = 1 AND state = 0;
CREATE INDEX IF NOT EXISTS chat_inbox ON chat_message (n) WHERE outgoing = 0 AND state = 3;
CREATE INDEX IF NOT EXISTS chat_owed ON chat_message (peer, n) WHERE owed = 1;
CREATE INDEX IF NOT EXISTS chat_history ON chat_message (peer, n);

-- The last seq given out per conversation, so that it never goes back.
CREATE TABLE IF NOT EXISTS chat_seq (
    peer BLOB PRIMARY KEY,
    last INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Undelivered messages of which the coordinator had a copy within a day.
CREATE TABLE IF NOT EXISTS chat_kept (
    peer BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (peer, id)) STRICT, WITHOUT ROWID;

-- Deleted messages, for some weeks: one that comes again is not new.
CREATE TABLE IF NOT EXISTS chat_gone (
    peer BLOB NOT NULL,
    id BLOB NOT NULL,
    arrived_s INTEGER NOT NULL,
    PRIMARY KEY (peer, id)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chat_gone_time ON chat_gone (arrived_s);

-- Plain text has an id of our own: it cannot come again.
CREATE TRIGGER IF NOT EXISTS chat_gone_new AFTER DELETE ON chat_message
WHEN OLD.outgoing = 0 AND OLD.author IS NULL AND OLD.seq > 0 BEGIN
    INSERT OR REPLACE INTO chat_gone (peer, id, arrived_s)
        VALUES (OLD.peer, OLD.id, OLD.arrived_s);
END;

-- Conversations whose messages are stored as read.
CREATE TABLE IF NOT EXISTS chat_muted (
    peer BLOB PRIMARY KEY,
    name TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- --- rooms ---------------------------------------------------------------------------------------

-- The rooms of the network.
CREATE TABLE IF NOT EXISTS room (
    id BLOB PRIMARY KEY,
    network BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Their signed records, texts not; n is the order in which they can be checked.
CREATE TABLE IF NOT EXISTS room_record (
    n INTEGER PRIMARY KEY,
    room BLOB NOT NULL,
    hash BLOB NOT NULL,
    raw BLOB NOT NULL,
    UNIQUE (room, hash)) STRICT;

-- How far each author's texts go, and up to which they are deleted.
CREATE TABLE IF NOT EXISTS room_log (
    room BLOB NOT NULL,
    author BLOB NOT NULL,
    last INTEGER NOT NULL,
    low INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room, author)) STRICT, WITHOUT ROWID;

-- What a text's record has besides its row n in chat_message.
CREATE TABLE IF NOT EXISTS room_text (
    room BLOB NOT NULL,
    author BLOB NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    sig BLOB NOT NULL,
    said BLOB,                             -- what our client called it
    PRIMARY KEY (room, author, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS room_text_n ON room_text (room, n);
CREATE UNIQUE INDEX IF NOT EXISTS room_said ON room_text (room, said) WHERE said IS NOT NULL;

-- --- what is used --------------------------------------------------------------------------------

-- What each author has stored in each conversation; the row of two empty keys is the sum of
-- everything. Triggers keep it, so that no way to store or delete a message can forget it. A
-- message has the bytes of its text and 512 more: PV_CHATOP_ROW_BYTES.
CREATE TABLE IF NOT EXISTS chat_usage (
    author BLOB NOT NULL,
    peer BLOB NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0,
    unread_bytes INTEGER NOT NULL DEFAULT 0,
    day INTEGER NOT NULL DEFAULT 0,
    day_bytes INTEGER NOT NULL DEFAULT 0,  -- stored on that day, also when deleted since
    PRIMARY KEY (author, peer)) STRICT, WITHOUT ROWID;

-- Two statements and no upsert: the conflict rule of the statement that fires a trigger takes the
-- place of the rule inside.
CREATE TRIGGER IF NOT EXISTS chat_usage_new AFTER INSERT ON chat_message WHEN NEW.outgoing = 0 BEGIN
    INSERT OR IGNORE INTO chat_usage (author, peer)
        VALUES (coalesce(NEW.author, NEW.peer), NEW.peer);
    UPDATE chat_usage SET
        bytes = bytes + (length(CAST(NEW.text AS BLOB)) + 512),
        unread = unread + (NEW.state = 3),
        unread_bytes = unread_bytes + (NEW.state = 3) * (length(CAST(NEW.text AS BLOB)) + 512),
        day_bytes = (day = NEW.arrived_s / 86400) * day_bytes
            + (length(CAST(NEW.text AS BLOB)) + 512),
        day = NEW.arrived_s / 86400
        WHERE author = coalesce(NEW.author, NEW.peer) AND peer = NEW.peer;
END;
CREATE TRIGGER IF NOT EXISTS chat_usage_read AFTER UPDATE OF state ON chat_message
WHEN OLD.outgoing = 0 AND OLD.state = 3 AND NEW.state <> 3 BEGIN
    UPDATE chat_usage SET
        unread = unread - 1,
        unread_bytes = unread_bytes - (length(CAST(OLD.text AS BLOB)) + 512)
        WHERE author = coalesce(OLD.author, OLD.peer) AND peer = OLD.peer;
END;
CREATE TRIGGER IF NOT EXISTS chat_usage_gone AFTER DELETE ON chat_message WHEN OLD.outgoing = 0 BEGIN
    UPDATE chat_usage SET
        bytes = bytes - (length(CAST(OLD.text AS BLOB)) + 512),
        unread = unread - (OLD.state = 3),
        unread_bytes = unread_bytes - (OLD.state = 3) * (length(CAST(OLD.text AS BLOB)) + 512)
        WHERE author = coalesce(OLD.author, OLD.peer) AND peer = OLD.peer;
END;
CREATE TRIGGER IF NOT EXISTS chat_sum_new AFTER INSERT ON chat_message BEGIN
    UPDATE chat_usage SET bytes = bytes + (length(CAST(NEW.text AS BLOB)) + 512)
        WHERE author = x'' AND peer = x'';
END;
CREATE TRIGGER IF NOT EXISTS chat_sum_gone AFTER DELETE ON chat_message BEGIN
    UPDATE chat_usage SET bytes = bytes - (length(CAST(OLD.text AS BLOB)) + 512)
        WHERE author = x'' AND peer = x'';
END;

INSERT INTO chat_usage (author, peer) SELECT x'', x''
    WHERE NOT EXISTS (SELECT 1 FROM chat_usage WHERE author = x'' AND peer = x'');

-- --- values ------------------------------------------------------------------------------------------

-- What a part of chat keeps as a whole: rooms that users accepted, offers of files, pins of names.
CREATE TABLE IF NOT EXISTS chat_value (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL) STRICT;
