-- A token may accept what is on the disks of a machine that registers with it (lifecycle.md 5.4, 5.7); the server remembers it
-- for its first poll.
ALTER TABLE tokens ADD COLUMN accepts_data BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE servers ADD COLUMN accepts_data BOOLEAN NOT NULL DEFAULT FALSE;
