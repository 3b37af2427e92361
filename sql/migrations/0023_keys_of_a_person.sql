-- A person's keys are read page by page: in their order, or an organization's are looked through for them.
DROP INDEX auth_api_keys_owner;
CREATE INDEX auth_api_keys_owner ON auth_api_keys (owner_id, key_id);
