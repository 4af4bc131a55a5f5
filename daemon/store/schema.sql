-- What the network needs. Run at each start: what is there stays as it is.

-- --- the network ---------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS network (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    node_name TEXT NOT NULL);

-- In order of arrival: the roster has to get them back in the same order.
CREATE TABLE IF NOT EXISTS statements (
    seq INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    statement BLOB NOT NULL,
    receipt BLOB NOT NULL,
    mark BLOB);

-- The network's log. Its head is in meta, "log-head".
CREATE TABLE IF NOT EXISTS log (
    n INTEGER PRIMARY KEY,
    entry BLOB NOT NULL);

CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL) WITHOUT ROWID;

-- Addresses at which members were reached.
CREATE TABLE IF NOT EXISTS endpoints (
    node BLOB NOT NULL,
    address TEXT NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (node, address)) WITHOUT ROWID;
