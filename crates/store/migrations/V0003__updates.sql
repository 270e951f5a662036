-- What the images of an update are made of, by architecture and component: read from its manifests when it arrives.
CREATE TABLE update_manifests (
    update_uuid {text} NOT NULL REFERENCES updates (uuid) ON DELETE CASCADE,
    architecture {text} NOT NULL,
    component {text} NOT NULL,
    items {text} NOT NULL,
    PRIMARY KEY (update_uuid, architecture, component)
);

-- Counts the changes of tables that are kept in memory: what is there is good as long as its count stands still.
CREATE TABLE table_changes (
    name {text} NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
);
INSERT INTO table_changes (name, count) VALUES ('updates', 1);
