-- What people know of a machine, and how long it has been what it is.
ALTER TABLE machines ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
UPDATE machines SET since = created_at;
-- Those that were away for a reset had no note of it.
UPDATE machines SET operation = '{"kind":"clean","method":"os_reset","phase":"running","claim":null}'
    WHERE lifecycle = 'cleaning' AND operation IS NULL;
ALTER TABLE machines ADD COLUMN allocated_at BIGINT;
ALTER TABLE machines ADD COLUMN asset {text} NOT NULL DEFAULT '{}';
ALTER TABLE machines ADD COLUMN bmc {text} NOT NULL DEFAULT '{}';
ALTER TABLE machines ADD COLUMN bmc_password {text};
-- How it was erased last.
ALTER TABLE machines ADD COLUMN erased {text};
-- From here on the id of its type, or empty.
ALTER TABLE machines RENAME COLUMN type_label TO server_type;
CREATE INDEX machines_type ON machines (server_type, lifecycle, id);
-- The subscription that it is bound to or in use through.
ALTER TABLE machines ADD COLUMN subscription {text};
CREATE INDEX machines_subscription ON machines (subscription) WHERE subscription IS NOT NULL;

-- Append-only.
CREATE TABLE machine_notes (
    machine_id {text} NOT NULL REFERENCES machines (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    author {text} NOT NULL,
    kind {text} NOT NULL,
    note {text} NOT NULL,
    PRIMARY KEY (machine_id, seq)
);

-- The hardware of a machine as it was seen, each time it was another.
CREATE TABLE machine_snapshots (
    machine_id {text} NOT NULL REFERENCES machines (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    source {text} NOT NULL,
    inventory {text} NOT NULL,
    difference {text} NOT NULL,
    PRIMARY KEY (machine_id, seq)
);

-- What is wrong with a machine, by who says so.
CREATE TABLE machine_alerts (
    machine_id {text} NOT NULL REFERENCES machines (id),
    source {text} NOT NULL,
    name {text} NOT NULL,
    classes {text} NOT NULL,
    message {text} NOT NULL,
    author {text} NOT NULL,
    at BIGINT NOT NULL,
    expires_at BIGINT,
    -- Who answers for it that it does not count, why and until when.
    overridden {text},
    -- When time alone changes whether it counts.
    due_at BIGINT,
    PRIMARY KEY (machine_id, source, name)
);
CREATE INDEX machine_alerts_due ON machine_alerts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX machine_alerts_name ON machine_alerts (source, name);

-- Classes of hardware. Several fingerprints may be one type.
CREATE TABLE server_types (
    id {text} NOT NULL PRIMARY KEY,
    label {text} NOT NULL UNIQUE CHECK (label <> ''),
    description {text} NOT NULL,
    specification {text} NOT NULL,
    created_at BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1
);
CREATE TABLE server_type_fingerprints (
    fingerprint {text} NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    type_id {text} NOT NULL REFERENCES server_types (id)
);
CREATE INDEX server_type_fingerprints_type ON server_type_fingerprints (type_id);

-- Machines kept for somebody: so many of a type, or one by its id.
CREATE TABLE subscriptions (
    id {text} NOT NULL PRIMARY KEY,
    holder {text} NOT NULL CHECK (holder <> ''),
    type_id {text} REFERENCES server_types (id),
    machine_id {text} REFERENCES machines (id),
    quantity BIGINT NOT NULL CHECK (quantity >= 1),
    site {text} NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT,
    cycle_months BIGINT NOT NULL DEFAULT 0,
    renew BOOLEAN NOT NULL DEFAULT FALSE,
    status {text} NOT NULL,
    missing BIGINT NOT NULL DEFAULT 0,
    unfulfilled {text} NOT NULL DEFAULT '',
    description {text} NOT NULL,
    created_at BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1,
    CHECK ((type_id IS NULL) <> (machine_id IS NULL))
);
CREATE INDEX subscriptions_status ON subscriptions (status, id);
CREATE INDEX subscriptions_type ON subscriptions (type_id, status) WHERE type_id IS NOT NULL;
CREATE INDEX subscriptions_machine ON subscriptions (machine_id, status) WHERE machine_id IS NOT NULL;

-- Hardware that is on its way: what becomes of its record when it shows up.
CREATE TABLE expected_machines (
    id {text} NOT NULL PRIMARY KEY,
    system_uuid {text},
    serial {text},
    mac {text},
    -- The label of its type, or empty.
    server_type {text} NOT NULL,
    asset {text} NOT NULL,
    bmc {text} NOT NULL,
    bmc_password {text},
    author {text} NOT NULL,
    created_at BIGINT NOT NULL,
    machine_id {text} REFERENCES machines (id),
    seen_at BIGINT
);
-- One that was seen may be expected again, when its record has ended.
CREATE UNIQUE INDEX expected_machines_system_uuid ON expected_machines (system_uuid) WHERE seen_at IS NULL;
CREATE UNIQUE INDEX expected_machines_serial ON expected_machines (serial) WHERE seen_at IS NULL;
CREATE UNIQUE INDEX expected_machines_mac ON expected_machines (mac) WHERE seen_at IS NULL;
CREATE INDEX expected_machines_machine ON expected_machines (machine_id);
