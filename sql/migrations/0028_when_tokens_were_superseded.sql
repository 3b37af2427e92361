-- When the tokens before the previous one were superseded, the newest last: a bounded number, so that
-- the row stays of constant size.  `rotated_at` says it of the previous one.
ALTER TABLE auth_families
    ADD COLUMN superseded timestamptz[] NOT NULL DEFAULT '{}' CHECK (cardinality(superseded) <= 127);
