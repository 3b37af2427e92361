-- What requests under an `Idempotency-Key` made, for a day.  No answer is here, and so no secret and
-- nobody's name: only the id of what was made, under MACs of who asked, their key and what they asked.

CREATE TABLE auth_idempotency (
    slot        bytea PRIMARY KEY CHECK (octet_length(slot) = 32),
    request_mac bytea NOT NULL CHECK (octet_length(request_mac) = 32),
    made        text NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX auth_idempotency_expires ON auth_idempotency (expires_at);
