-- Since when an update is in a channel, and every channel that it ever was in: a rule gives it to a channel once.
ALTER TABLE channels_updates ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
UPDATE channels_updates SET since = (SELECT last_updated FROM updates WHERE updates.uuid = channels_updates.update_uuid);
CREATE TABLE updates_entered (
    update_uuid {text} NOT NULL REFERENCES updates (uuid) ON DELETE CASCADE,
    channel {text} NOT NULL REFERENCES channels (name) ON DELETE CASCADE,
    PRIMARY KEY (update_uuid, channel)
);
CREATE INDEX updates_entered_channel ON updates_entered (channel);
INSERT INTO updates_entered (update_uuid, channel) SELECT update_uuid, channel FROM channels_updates;

-- Channels that get updates by themselves.
CREATE TABLE channel_rules (
    channel {text} NOT NULL PRIMARY KEY REFERENCES channels (name) ON DELETE CASCADE,
    follows {text} NOT NULL REFERENCES channels (name),
    after_seconds BIGINT NOT NULL CHECK (after_seconds >= 0),
    at_once {text},
    CHECK (channel <> follows)
);

-- Channels that nothing enters.
CREATE TABLE channel_freezes (
    channel {text} NOT NULL PRIMARY KEY REFERENCES channels (name) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    actor {text} NOT NULL,
    reason {text} NOT NULL
);

-- Updates that machines are not told of. An update may be deleted, fetched or uploaded again: this stays.
CREATE TABLE updates_withdrawn (
    update_uuid {text} NOT NULL PRIMARY KEY,
    origin {text} NOT NULL,
    version {text} NOT NULL,
    at BIGINT NOT NULL,
    actor {text} NOT NULL,
    reason {text} NOT NULL
);

-- The descriptions of updates as their publisher signed them: with one an update can be carried on to another site.
CREATE TABLE update_documents (
    update_uuid {text} NOT NULL PRIMARY KEY REFERENCES updates (uuid) ON DELETE CASCADE,
    document {blob} NOT NULL
);
