-- What jobs ask persons. A row changes once, when the question is closed: answered, run out, or its attempt over.
CREATE TABLE question (
    -- In the order of asking.
    number       INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    job          INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    -- Both word for word as asked; the schema is JSON.
    prompt       TEXT    NOT NULL,
    schema       TEXT,
    asked_at     INTEGER NOT NULL,
    deadline_at  INTEGER,
    -- Absent while it is open.
    closed_at    INTEGER,
    -- JSON; absent in a closed question = nobody answered.
    answer       TEXT
) STRICT;
CREATE UNIQUE INDEX question_key ON question (job, attempt, key);
CREATE INDEX question_open ON question (closed_at) WHERE closed_at IS NULL;
CREATE INDEX question_deadline ON question (deadline_at) WHERE closed_at IS NULL AND deadline_at IS NOT NULL;
