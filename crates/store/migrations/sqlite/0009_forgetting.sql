-- So that what is not needed any more is found.

-- When something was learned last; absent = before this was noted.
ALTER TABLE duration ADD COLUMN learned_at INTEGER;

CREATE INDEX collection_ended ON collection (ended_at);
