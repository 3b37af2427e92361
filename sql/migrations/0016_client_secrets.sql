-- A client whose secret was rotated may present the old one until the overlap ends.

ALTER TABLE auth_clients
    ADD COLUMN previous_mac bytea CHECK (octet_length(previous_mac) = 32),
    ADD COLUMN previous_until timestamptz,
    ADD CONSTRAINT auth_clients_previous CHECK ((previous_mac IS NULL) = (previous_until IS NULL));
