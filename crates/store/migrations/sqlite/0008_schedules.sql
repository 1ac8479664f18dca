-- Jobs that come again and again.

CREATE TABLE schedule (
    id              TEXT    PRIMARY KEY,
    principal_name  TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    -- When it fires next; absent = not by itself.
    next_at         INTEGER,
    -- All of it as JSON.
    content         TEXT    NOT NULL,
    UNIQUE (principal_name, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;
