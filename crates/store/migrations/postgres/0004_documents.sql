-- Small things that are kept beside the jobs, written as a whole by whoever saw the last version.

CREATE TABLE document (
    name     text COLLATE "C" PRIMARY KEY,
    version  bigint NOT NULL,
    text     text NOT NULL,
    -- Passes away at this instant; absent = never.
    until    bigint
);

CREATE INDEX document_until ON document (until) WHERE until IS NOT NULL;
