-- A job's history is a chain from its newest line back, instead of an index that every line has to enter.

-- Position of the line before it of the same job; absent in the first.
ALTER TABLE event ADD COLUMN before INTEGER;
-- Position of the job's newest line.
ALTER TABLE job ADD COLUMN last_event INTEGER NOT NULL DEFAULT 0;

UPDATE event SET before = (SELECT max(earlier.seq) FROM event AS earlier WHERE earlier.job = event.job AND earlier.seq < event.seq);
UPDATE job SET last_event = ifnull((SELECT max(seq) FROM event WHERE event.job = job.number), 0);
DROP INDEX event_job;
