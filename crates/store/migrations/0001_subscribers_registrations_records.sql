-- Words that SQLite and PostgreSQL understand alike. Absent text is '', an absent number 0; times are milliseconds since 1970.

CREATE TABLE generations (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO generations (name, value) VALUES ('subscribers', 0);

-- Hashes of user name, realm and password (RFC 7616 section 3.4.2), never passwords. A row with removed = 1 tells others that the
-- subscriber is gone.
CREATE TABLE subscribers (
    username TEXT NOT NULL,
    realm TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    ha1_sha512_256 TEXT NOT NULL,
    removed BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (realm, username)
);
CREATE INDEX subscribers_by_generation ON subscribers (generation);

CREATE TABLE registrations (
    username TEXT NOT NULL,
    binding TEXT NOT NULL,
    contact TEXT NOT NULL,
    q BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    call_id TEXT NOT NULL,
    cseq BIGINT NOT NULL,
    received TEXT NOT NULL,
    local TEXT NOT NULL,
    transport TEXT NOT NULL,
    path TEXT NOT NULL,
    instance TEXT NOT NULL,
    reg_id BIGINT NOT NULL,
    user_agent TEXT NOT NULL,
    PRIMARY KEY (username, binding)
);
CREATE INDEX registrations_by_expiry ON registrations (expires_ms);

CREATE TABLE call_records (
    id TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    route TEXT NOT NULL,
    status BIGINT NOT NULL,
    q850 BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    ended_by TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX call_records_by_start ON call_records (started_ms);

CREATE TABLE call_record_legs (
    record_id TEXT NOT NULL,
    leg TEXT NOT NULL,
    peer TEXT NOT NULL,
    call_id TEXT NOT NULL,
    codec TEXT NOT NULL,
    packets_received BIGINT NOT NULL,
    packets_lost BIGINT NOT NULL,
    jitter_us BIGINT NOT NULL,
    mos_received_hundredths BIGINT NOT NULL,
    mos_sent_hundredths BIGINT NOT NULL,
    PRIMARY KEY (record_id, leg)
);

-- How far each node's record files have been taken over.
CREATE TABLE record_cursors (
    node TEXT NOT NULL PRIMARY KEY,
    file TEXT NOT NULL,
    position BIGINT NOT NULL
);
