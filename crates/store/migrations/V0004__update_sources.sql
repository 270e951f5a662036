-- The index that was accepted last from each source and root certificate: an older one is refused.
CREATE TABLE update_sources (
    url {text} NOT NULL,
    root {text} NOT NULL,
    edition {text} NOT NULL,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (url, root)
);
