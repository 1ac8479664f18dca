-- What the chats that jobs belong to were told of their ends.

-- Position of the job's end in the history; absent before it, and in jobs that ended before this was kept.
ALTER TABLE job ADD COLUMN end_seq INTEGER;
CREATE INDEX job_end ON job (conversation, principal_name, end_seq)
    WHERE conversation IS NOT NULL AND end_seq IS NOT NULL;

-- Ends up to `end_seq` were announced to this chat of this principal. Gone with the chat's last job.
CREATE TABLE announced (
    principal_name  TEXT    NOT NULL,
    conversation    TEXT    NOT NULL,
    end_seq         INTEGER NOT NULL,
    PRIMARY KEY (principal_name, conversation)
) STRICT, WITHOUT ROWID;
