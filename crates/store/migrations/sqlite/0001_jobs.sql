-- Times are milliseconds since 1970 in UTC. Names of states, events and outcomes are those of the domain.

-- Highest numbers ever given, as of the last removal: numbers of removed rows are never given again.
CREATE TABLE meta (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    job_number  INTEGER NOT NULL,
    event_seq   INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0, 0);

CREATE TABLE job (
    number          INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    version         INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    -- The state, but `live` wherever somebody holds a lease, and null once it is finished: steps between live states
    -- leave the index alone.
    phase           TEXT,
    -- The state with all that it alone has, as JSON.
    content         TEXT    NOT NULL,
    attempt         INTEGER NOT NULL,
    failures        INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    priority        INTEGER NOT NULL,
    principal_class TEXT    NOT NULL,
    principal_name  TEXT    NOT NULL,
    conversation    TEXT,
    kind            TEXT    NOT NULL,
    name            TEXT,
    title           TEXT    NOT NULL,
    retry           TEXT    NOT NULL,
    -- The 64 bits of an unsigned number.
    likeness        INTEGER NOT NULL,
    retry_of        TEXT,
    submitted_at    INTEGER NOT NULL,
    started_at      INTEGER,
    changed_at      INTEGER NOT NULL,
    -- Only while it waits for nothing but time.
    due_at          INTEGER,
    -- Both only once it is finished.
    finished_at     INTEGER,
    outcome         TEXT,
    pinned          INTEGER NOT NULL DEFAULT 0,
    output_expired  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Each index ends in the row's number, which is what lists and queues are ordered by.
CREATE INDEX job_open ON job (phase, queue, priority DESC) WHERE phase IS NOT NULL;
CREATE INDEX job_due ON job (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX job_ended ON job (output_expired, finished_at) WHERE finished_at IS NOT NULL AND pinned = 0;
CREATE INDEX job_unsuccessful ON job (outcome) WHERE outcome <> 'succeeded';
CREATE INDEX job_conversation ON job (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX job_principal ON job (principal_name);

-- Never changes, and is long: apart from the row that does.
CREATE TABLE spec (
    job   INTEGER PRIMARY KEY,
    spec  TEXT NOT NULL
) STRICT;

CREATE TABLE event (
    seq      INTEGER PRIMARY KEY,
    job      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    attempt  INTEGER NOT NULL,
    detail   TEXT
) STRICT;
CREATE INDEX event_job ON event (job);

-- `dependent` waits for `job` and has not been told of its end yet.
CREATE TABLE dependency (
    job        INTEGER NOT NULL,
    dependent  INTEGER NOT NULL,
    PRIMARY KEY (job, dependent)
) STRICT, WITHOUT ROWID;

-- Finished jobs whose dependents have not all been told.
CREATE TABLE outbox (
    job  INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE key (
    principal_class  TEXT    NOT NULL,
    principal_name   TEXT    NOT NULL,
    key              TEXT    NOT NULL,
    job              INTEGER NOT NULL,
    digest           BLOB    NOT NULL,
    PRIMARY KEY (principal_class, principal_name, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_job ON key (job);

CREATE TABLE queue (
    name         TEXT    PRIMARY KEY,
    concurrency  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest successes of like jobs: milliseconds, oldest first, 8 bytes each, little endian.
CREATE TABLE duration (
    likeness  INTEGER PRIMARY KEY,
    samples   BLOB NOT NULL
) STRICT;
