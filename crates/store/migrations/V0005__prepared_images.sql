-- Images that were asked for, until they are fetched. The seeds may hold keys: they are sealed.
CREATE TABLE prepared_images (
    id {text} NOT NULL PRIMARY KEY,
    token {text} NOT NULL REFERENCES tokens (uuid) ON DELETE CASCADE,
    kind {text} NOT NULL,
    architecture {text} NOT NULL,
    seeds {text} NOT NULL,
    -- SHA-256 of the stored image that the first answer was made of: later answers are made of the same.
    source {text},
    until BIGINT NOT NULL,
    sent BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX prepared_images_token ON prepared_images (token);
CREATE INDEX prepared_images_until ON prepared_images (until);
