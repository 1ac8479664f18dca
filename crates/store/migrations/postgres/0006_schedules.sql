-- Jobs that come again and again.

CREATE TABLE schedule (
    id              text COLLATE "C" PRIMARY KEY,
    principal_name  text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    version         bigint NOT NULL,
    -- When it fires next; absent = not by itself.
    next_at         bigint,
    -- All of it as JSON.
    content         text NOT NULL,
    UNIQUE (principal_name, name)
);

CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;
