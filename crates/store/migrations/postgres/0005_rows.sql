-- What many rows are sent as: one array of these is taken apart at less cost than an array for each column. A type that
-- nodes use is never changed, since nodes of several versions share a database: a new shape is a new type.

CREATE TYPE job_row AS (
    number           bigint,
    id               text,
    principal_class  text,
    principal_name   text,
    conversation     text,
    kind             text,
    name             text,
    title            text,
    retry            text,
    likeness         bigint,
    retry_of         text,
    submitted_at     bigint,
    spec             text,
    requires         text
);

CREATE TYPE standing_row AS (
    job             bigint,
    -- The version that is replaced; absent for a new job.
    stored          bigint,
    version         bigint,
    state           text,
    phase           text,
    content         text,
    attempt         bigint,
    failures        bigint,
    queue           text,
    priority        smallint,
    holder          text,
    started_at      bigint,
    changed_at      bigint,
    due_at          bigint,
    finished_at     bigint,
    outcome         text,
    pinned          boolean,
    output_expired  boolean
);

-- A line of history before it has its place.
CREATE TYPE line_row AS (
    job      bigint,
    at       bigint,
    kind     text,
    state    text,
    attempt  bigint,
    detail   text
);
