-- Which job has which artifacts. A row proves that its object was put.
CREATE TABLE artifact (
    job      INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    -- SHA-256 of the bytes.
    digest   BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    made_at  INTEGER NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_digest ON artifact (digest);

-- Objects that no job has and that are being deleted, or were a short time ago.
CREATE TABLE collection (
    digest    BLOB    PRIMARY KEY,
    -- Grows with each beginning and each end of a collection.
    number    INTEGER NOT NULL,
    begun_at  INTEGER NOT NULL,
    -- Absent while it is under way.
    ended_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX collection_number ON collection (number);
