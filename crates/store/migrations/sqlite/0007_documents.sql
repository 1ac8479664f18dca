-- Small things that are kept beside the jobs, written as a whole by whoever saw the last version.

CREATE TABLE document (
    name     TEXT    PRIMARY KEY,
    version  INTEGER NOT NULL,
    text     TEXT    NOT NULL,
    -- Passes away at this instant; absent = never.
    until    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX document_until ON document (until) WHERE until IS NOT NULL;
