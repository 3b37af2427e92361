-- Attempts at a password that are not judged yet stand apart from those that failed: one that is never
-- judged (PostgreSQL lost, the disk full, a worker killed) counts for nothing.

-- Each is a UUIDv7, so that it says itself since when it holds its slot.
ALTER TABLE auth_lockouts
    ADD COLUMN under_way uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(under_way) <= 100);
