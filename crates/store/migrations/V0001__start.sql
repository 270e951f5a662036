-- Tokens, replaced when the text is loaded (src/migrate.rs):
--   {id}    a key that the database numbers itself
--   {text}  text that compares byte by byte, whatever the locale of the database is
--   {blob}  bytes
-- Times are microseconds since 1970, 0 is "never". Documents are JSON as text; "sealed" ones are opaque to SQL.

CREATE TABLE key_check (
    name {text} NOT NULL PRIMARY KEY,
    sealed {text} NOT NULL
);

-- Locked, never filled: the first tries of write transactions share it, a transaction that keeps losing takes it alone.
CREATE TABLE write_gate (
    unused BIGINT
);

CREATE TABLE channels (
    name {text} NOT NULL PRIMARY KEY CHECK (name <> ''),
    description {text} NOT NULL,
    last_updated BIGINT NOT NULL
);

INSERT INTO channels (name, description, last_updated) VALUES ('stable', 'Stable updates channel', 0);

CREATE TABLE tokens (
    uuid {text} NOT NULL PRIMARY KEY,
    uses_remaining BIGINT NOT NULL CHECK (uses_remaining >= 0),
    expire_at {text} NOT NULL,
    expire_at_us BIGINT NOT NULL,
    description {text} NOT NULL,
    channel {text} NOT NULL REFERENCES channels (name),
    auto_remove BOOLEAN NOT NULL DEFAULT FALSE,
    generation BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX tokens_channel ON tokens (channel);

CREATE TABLE token_seeds (
    token {text} NOT NULL REFERENCES tokens (uuid) ON DELETE CASCADE,
    name {text} NOT NULL CHECK (name <> ''),
    description {text} NOT NULL,
    public BOOLEAN NOT NULL DEFAULT FALSE,
    seeds {text} NOT NULL,
    last_updated BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (token, name)
);

CREATE TABLE settings (
    section {text} NOT NULL PRIMARY KEY,
    document {text} NOT NULL,
    generation BIGINT NOT NULL
);

CREATE TABLE identity (
    name {text} NOT NULL PRIMARY KEY,
    certificate {text} NOT NULL,
    sealed_key {text} NOT NULL
);

CREATE TABLE machines (
    id {text} NOT NULL PRIMARY KEY,
    lifecycle {text} NOT NULL,
    operation {text},
    media {text} NOT NULL,
    serial {text},
    chassis_vendor {text},
    system_uuid {text},
    machine_id {text},
    bmc_mac {text},
    allocation {text},
    reservation {text},
    type_label {text} NOT NULL,
    flags {text} NOT NULL,
    alerts {text} NOT NULL,
    inventory {text} NOT NULL,
    successor_of {text} REFERENCES machines (id),
    created_at BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX machines_system_uuid ON machines (system_uuid) WHERE lifecycle <> 'decommissioned';
CREATE UNIQUE INDEX machines_machine_id ON machines (machine_id) WHERE lifecycle <> 'decommissioned';
CREATE UNIQUE INDEX machines_serial ON machines (serial, chassis_vendor) WHERE lifecycle <> 'decommissioned';
CREATE UNIQUE INDEX machines_bmc_mac ON machines (bmc_mac) WHERE lifecycle <> 'decommissioned';
CREATE INDEX machines_lifecycle ON machines (lifecycle, id);
CREATE INDEX machines_successor_of ON machines (successor_of);

CREATE TABLE servers (
    id {text} NOT NULL PRIMARY KEY,
    machine_id {text} NOT NULL UNIQUE REFERENCES machines (id),
    name {text} NOT NULL UNIQUE CHECK (name <> ''),
    server_type {text} NOT NULL,
    connection_url {text} NOT NULL,
    public_connection_url {text} NOT NULL,
    certificate {text},
    -- Unique instead of the certificate: a long key's certificate does not fit into a PostgreSQL index entry.
    fingerprint {text} UNIQUE,
    cluster {text},
    channel {text} NOT NULL REFERENCES channels (name),
    description {text} NOT NULL,
    properties {text},
    bmc {text} NOT NULL,
    bmc_password {text},
    system_uuid {text} UNIQUE,
    machine_key {text} UNIQUE,
    status {text} NOT NULL,
    status_detail {text} NOT NULL,
    hardware_data {text} NOT NULL,
    os_data {text} NOT NULL,
    os_secrets {text},
    version_data {text} NOT NULL,
    bmc_data {text} NOT NULL,
    last_updated BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    last_status_updated BIGINT NOT NULL,
    boot_at BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failure_reason {text},
    generation BIGINT NOT NULL DEFAULT 1,
    observed BIGINT NOT NULL DEFAULT 0,
    CHECK ((certificate IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX servers_status ON servers (status, name);
CREATE INDEX servers_cluster ON servers (cluster, name);
CREATE INDEX servers_channel ON servers (channel);

CREATE TABLE updates (
    uuid {text} NOT NULL PRIMARY KEY,
    origin {text} NOT NULL,
    version {text} NOT NULL,
    published_at {text} NOT NULL,
    severity {text} NOT NULL,
    upstream_channels {text} NOT NULL,
    files {text} NOT NULL,
    url {text} NOT NULL,
    status {text} NOT NULL,
    last_updated BIGINT NOT NULL
);
CREATE INDEX updates_version ON updates (version, uuid);

CREATE TABLE channels_updates (
    channel {text} NOT NULL REFERENCES channels (name) ON DELETE CASCADE,
    update_uuid {text} NOT NULL REFERENCES updates (uuid) ON DELETE CASCADE,
    PRIMARY KEY (channel, update_uuid)
);
CREATE INDEX channels_updates_update ON channels_updates (update_uuid);

CREATE TABLE warnings (
    uuid {text} NOT NULL PRIMARY KEY,
    type {text} NOT NULL,
    scope {text} NOT NULL,
    entity_type {text} NOT NULL,
    entity {text} NOT NULL,
    status {text} NOT NULL,
    messages {text} NOT NULL,
    count BIGINT NOT NULL,
    first_occurrence BIGINT NOT NULL,
    last_occurrence BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1,
    UNIQUE (type, scope, entity_type, entity)
);
CREATE INDEX warnings_scope ON warnings (scope, entity_type, entity);

CREATE TABLE operations (
    id {text} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL,
    target_kind {text} NOT NULL,
    target {text} NOT NULL,
    machine_id {text},
    status {text} NOT NULL,
    reason {text} NOT NULL,
    params {text} NOT NULL,
    state {text} NOT NULL,
    steps {text} NOT NULL,
    result {text},
    error {text},
    actor {text} NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    not_before BIGINT NOT NULL DEFAULT 0,
    deadline BIGINT,
    lease_owner {text},
    lease_until BIGINT NOT NULL DEFAULT 0,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    generation BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX operations_due ON operations (not_before, id) WHERE finished_at IS NULL;
CREATE INDEX operations_target ON operations (target_kind, target, id);
CREATE INDEX operations_machine ON operations (machine_id, id);

CREATE TABLE audit_head (
    name {text} NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash {text} NOT NULL
);
INSERT INTO audit_head (name, seq, hash) VALUES ('audit', 0, '');

CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor {text} NOT NULL,
    action {text} NOT NULL,
    object_kind {text} NOT NULL,
    object {text} NOT NULL,
    from_state {text},
    to_state {text},
    reason {text},
    operation_id {text},
    detail {text} NOT NULL,
    prev_hash {text} NOT NULL,
    hash {text} NOT NULL
);
CREATE INDEX audit_object ON audit (object_kind, object, seq);

CREATE TABLE events (
    seq {id},
    at BIGINT NOT NULL,
    kind {text} NOT NULL,
    object {text} NOT NULL,
    payload {text} NOT NULL
);

CREATE TABLE leases (
    name {text} NOT NULL PRIMARY KEY,
    owner {text} NOT NULL,
    until BIGINT NOT NULL
);
