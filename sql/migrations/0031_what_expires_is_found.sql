-- `prune` drops a batch at a time, the oldest first: an index says which those are.

CREATE INDEX auth_devices_expiry ON auth_devices (expires_at);
CREATE INDEX auth_invitations_expiry ON auth_invitations (expires_at);
