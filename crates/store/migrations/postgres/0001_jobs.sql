-- Times are milliseconds since 1970 in UTC. Names of states, events and outcomes are those of the domain.
--
-- What never changes about a job (`job`) is apart from where it stands (`standing`), so that a step of its life writes
-- one narrow row and at most two indexes, not the whole job and all of its indexes anew.

CREATE TABLE meta (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version   bigint NOT NULL,
    -- The oldest schema whose programs can work with this one.
    compatible_from  bigint NOT NULL,
    -- The newest event at the last removal: it is the newest for ever, also when its row is gone.
    event_seq        bigint NOT NULL
);
INSERT INTO meta (schema_version, compatible_from, event_seq) VALUES (1, 1, 0);

CREATE SEQUENCE job_number;
-- Advanced under a lock that is held until the commit, see decision 0009.
CREATE SEQUENCE event_seq;

CREATE TABLE job (
    number           bigint PRIMARY KEY,
    id               text COLLATE "C" NOT NULL UNIQUE,
    principal_class  text NOT NULL,
    principal_name   text COLLATE "C" NOT NULL,
    conversation     text COLLATE "C",
    kind             text NOT NULL,
    name             text,
    title            text NOT NULL,
    retry            text NOT NULL,
    -- The 64 bits of an unsigned number.
    likeness         bigint NOT NULL,
    retry_of         text COLLATE "C",
    submitted_at     bigint NOT NULL,
    spec             text NOT NULL
);
CREATE INDEX job_conversation ON job (conversation, number) WHERE conversation IS NOT NULL;
CREATE INDEX job_principal ON job (principal_name, number);

-- Room in each page for the next version of a row: steps between live states touch no index then.
CREATE TABLE standing (
    job             bigint PRIMARY KEY,
    version         bigint NOT NULL,
    state           text NOT NULL,
    -- The state, but `live` wherever somebody holds a lease, and null once it is finished.
    phase           text,
    -- The state with all that it alone has, as JSON.
    content         text NOT NULL,
    attempt         bigint NOT NULL,
    failures        bigint NOT NULL,
    queue           text COLLATE "C" NOT NULL,
    priority        smallint NOT NULL,
    -- Only while somebody holds a lease.
    holder          text,
    started_at      bigint,
    changed_at      bigint NOT NULL,
    -- Only while it waits for nothing but time.
    due_at          bigint,
    -- Both only once it is finished.
    finished_at     bigint,
    outcome         text,
    pinned          boolean NOT NULL DEFAULT false,
    output_expired  boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70);
CREATE INDEX standing_open ON standing (phase, queue, priority DESC, job) WHERE phase IS NOT NULL;
CREATE INDEX standing_due ON standing (due_at, job) WHERE due_at IS NOT NULL;
CREATE INDEX standing_ended ON standing (output_expired, finished_at, job) WHERE finished_at IS NOT NULL AND NOT pinned;
CREATE INDEX standing_unsuccessful ON standing (outcome, job) WHERE outcome <> 'succeeded';

CREATE TABLE event (
    seq      bigint PRIMARY KEY,
    job      bigint NOT NULL,
    at       bigint NOT NULL,
    kind     text NOT NULL,
    state    text NOT NULL,
    attempt  bigint NOT NULL,
    detail   text
);
CREATE INDEX event_job ON event (job, seq);

-- `dependent` waits for `job` and has not been told of its end yet.
CREATE TABLE dependency (
    job        bigint NOT NULL,
    dependent  bigint NOT NULL,
    PRIMARY KEY (job, dependent)
);

-- Finished jobs whose dependents have not all been told.
CREATE TABLE outbox (
    job  bigint PRIMARY KEY
);

CREATE TABLE key (
    principal_class  text NOT NULL,
    principal_name   text COLLATE "C" NOT NULL,
    key              text COLLATE "C" NOT NULL,
    job              bigint NOT NULL,
    digest           bytea NOT NULL,
    PRIMARY KEY (principal_class, principal_name, key)
);
CREATE INDEX key_job ON key (job);

CREATE TABLE queue (
    name         text COLLATE "C" PRIMARY KEY,
    concurrency  bigint NOT NULL
);

-- The newest successes of like jobs: milliseconds, oldest first, 8 bytes each, little endian.
CREATE TABLE duration (
    likeness  bigint PRIMARY KEY,
    samples   bytea NOT NULL
);

-- What jobs ask persons. A row changes once, when the question is closed: answered, run out, or its attempt over.
CREATE TABLE question (
    -- In the order of asking.
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C" NOT NULL UNIQUE,
    job          bigint NOT NULL,
    attempt      bigint NOT NULL,
    key          text COLLATE "C" NOT NULL,
    kind         text NOT NULL,
    -- Both word for word as asked; the schema is JSON.
    prompt       text NOT NULL,
    schema       text,
    asked_at     bigint NOT NULL,
    deadline_at  bigint,
    -- Absent while it is open.
    closed_at    bigint,
    -- JSON; absent in a closed question = nobody answered.
    answer       text
);
CREATE UNIQUE INDEX question_key ON question (job, attempt, key);
CREATE INDEX question_open ON question (number) WHERE closed_at IS NULL;
CREATE INDEX question_deadline ON question (deadline_at, number) WHERE closed_at IS NULL AND deadline_at IS NOT NULL;

-- Ends of jobs that belong to chats, by their positions in the history.
CREATE TABLE ended (
    principal_name  text COLLATE "C" NOT NULL,
    conversation    text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL,
    job             bigint NOT NULL,
    PRIMARY KEY (principal_name, conversation, seq)
);
CREATE INDEX ended_job ON ended (job);

-- Ends up to `end_seq` were announced to this chat of this principal. Gone with the chat's last job.
CREATE TABLE announced (
    principal_name  text COLLATE "C" NOT NULL,
    conversation    text COLLATE "C" NOT NULL,
    end_seq         bigint NOT NULL,
    PRIMARY KEY (principal_name, conversation)
);

-- Undoes the transaction, to be tried again, unless as many rows were written as were meant to be.
CREATE FUNCTION must_be(written bigint, meant bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF written <> meant THEN
        RAISE EXCEPTION 'wrote % rows instead of %: somebody else changed them', written, meant
            USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- What changes often is cleaned often, in small pieces: see decision 0010.
ALTER TABLE standing SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE event SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
ALTER TABLE dependency SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE duration SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
ALTER TABLE announced SET (fillfactor = 70);
