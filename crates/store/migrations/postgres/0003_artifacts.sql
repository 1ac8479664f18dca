-- Which job has which artifacts. A row proves that its object was put.
CREATE TABLE artifact (
    job      bigint NOT NULL,
    name     text COLLATE "C" NOT NULL,
    -- SHA-256 of the bytes.
    digest   bytea NOT NULL,
    bytes    bigint NOT NULL,
    made_at  bigint NOT NULL,
    PRIMARY KEY (job, name)
);
CREATE INDEX artifact_digest ON artifact (digest);

-- Objects that no job has and that are being deleted, or were a short time ago.
CREATE TABLE collection (
    digest    bytea PRIMARY KEY,
    -- Grows with each beginning and each end of a collection.
    number    bigint NOT NULL,
    begun_at  bigint NOT NULL,
    -- Absent while it is under way.
    ended_at  bigint
);
CREATE INDEX collection_number ON collection (number);
