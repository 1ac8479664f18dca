-- Who serves this store, what they share, and what jobs require of them.

CREATE TABLE node (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL,
    address      TEXT,
    -- In their order, a space between two.
    labels       TEXT    NOT NULL,
    capacity     INTEGER NOT NULL,
    version      TEXT    NOT NULL,
    boot         TEXT    NOT NULL,
    incarnation  TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    -- Counts as alive before this instant.
    alive_until  INTEGER NOT NULL,
    draining     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    name   TEXT PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Labels that the node must have that runs the job, written like those of nodes; absent = none. The phase of a ready
-- job that requires some is `queued`, a space, and these: each such line has its own stretch of the index.
ALTER TABLE job ADD COLUMN requires TEXT;
