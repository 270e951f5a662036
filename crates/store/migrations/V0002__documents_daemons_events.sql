-- Documents of operations are sealed in a column of their own, as everything that is sealed; they were a part of the state.
ALTER TABLE operations ADD COLUMN documents {text};
UPDATE operations SET documents = CAST(state AS {json}) ->> 'documents' WHERE state LIKE '%,"documents":"v1.%';
UPDATE operations SET state = REPLACE(state, ',"documents":"' || documents || '"', '') WHERE documents IS NOT NULL;

-- The processes that work on this database, and the site keys that each has at hand.
CREATE TABLE daemons (
    id {text} NOT NULL PRIMARY KEY,
    host {text} NOT NULL,
    keys {text} NOT NULL,
    beats BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- Events up to this number were dropped.
CREATE TABLE events_floor (
    name {text} NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO events_floor (name, seq) VALUES ('events', 0);
