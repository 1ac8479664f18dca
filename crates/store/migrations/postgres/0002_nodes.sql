-- Who serves this store, what they share, and what jobs require of them.

CREATE TABLE node (
    id           text COLLATE "C" PRIMARY KEY,
    name         text COLLATE "C" NOT NULL,
    address      text,
    -- In their order, a space between two.
    labels       text NOT NULL,
    capacity     bigint NOT NULL,
    version      text NOT NULL,
    boot         text NOT NULL,
    incarnation  text NOT NULL,
    started_at   bigint NOT NULL,
    seen_at      bigint NOT NULL,
    -- Counts as alive before this instant.
    alive_until  bigint NOT NULL,
    draining     boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE secret (
    name   text COLLATE "C" PRIMARY KEY,
    bytes  bytea NOT NULL
);

-- Labels that the node must have that runs the job, written like those of nodes; absent = none. The phase of a ready
-- job that requires some is `queued`, a space, and these: each such line has its own stretch of the index, where older
-- programs, which know nothing of labels, do not look.
ALTER TABLE job ADD COLUMN requires text COLLATE "C";
