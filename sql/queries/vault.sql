-- Secrets, their versions, and the services that may get them.
-- Writes auth_secrets, auth_secret_versions, auth_recipients, auth_secret_recipients.

-- name: hold(secret_id, tenant_id, name, created_at)
-- Locks a secret, and makes it if needed, so that it cannot be deleted in between.
INSERT INTO auth_secrets (secret_id, tenant_id, name, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, name) DO UPDATE
   SET name = excluded.name
RETURNING secret_id;

-- name: lock(tenant_id, name)
SELECT secret_id
  FROM auth_secrets
 WHERE tenant_id IS NOT DISTINCT FROM $1
   AND name = $2
   FOR UPDATE;

-- name: delete(secret_id, tenant_id)
DELETE FROM auth_secrets
 WHERE secret_id = $1
   AND tenant_id IS NOT DISTINCT FROM $2;

-- name: newest(secret_id)
SELECT coalesce(max(version), 0) AS version
  FROM auth_secret_versions
 WHERE secret_id = $1;

-- name: insert_version(secret_id, version, sealed, fingerprint, kind, mode, last_four, created_at, created_by)
INSERT INTO auth_secret_versions (secret_id, version, sealed, fingerprint, kind, mode, last_four,
                                  created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: delete_version(secret_id, version)
DELETE FROM auth_secret_versions
 WHERE secret_id = $1
   AND version = $2;

-- name: list_versions(secret_id)
SELECT version, fingerprint, kind, mode, last_four, created_at, created_by, opened_at, opened_by
  FROM auth_secret_versions
 WHERE secret_id = $1
 ORDER BY version DESC;

-- name: list_page(tenant_id, after, most)
-- The newest version of each secret of the platform or of one organization.
SELECT s.secret_id, s.tenant_id, s.name, v.version, v.fingerprint, v.kind, v.mode, v.last_four,
       v.created_at, v.created_by, v.opened_at, v.opened_by,
       ARRAY(SELECT r.name
               FROM auth_secret_recipients a
               JOIN auth_recipients r USING (recipient_id)
              WHERE a.secret_id = s.secret_id
              ORDER BY r.name) AS recipients
  FROM auth_secrets s
  JOIN LATERAL (SELECT *
                  FROM auth_secret_versions
                 WHERE secret_id = s.secret_id
                 ORDER BY version DESC
                 LIMIT 1) v ON true
 WHERE s.tenant_id IS NOT DISTINCT FROM $1
   AND s.secret_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
 ORDER BY s.secret_id
 LIMIT $3;

-- name: find(tenant_id, name)
SELECT s.secret_id, s.tenant_id, s.name, v.version, v.fingerprint, v.kind, v.mode, v.last_four,
       v.created_at, v.created_by, v.opened_at, v.opened_by,
       ARRAY(SELECT r.name
               FROM auth_secret_recipients a
               JOIN auth_recipients r USING (recipient_id)
              WHERE a.secret_id = s.secret_id
              ORDER BY r.name) AS recipients
  FROM auth_secrets s
  JOIN LATERAL (SELECT *
                  FROM auth_secret_versions
                 WHERE secret_id = s.secret_id
                 ORDER BY version DESC
                 LIMIT 1) v ON true
 WHERE s.tenant_id IS NOT DISTINCT FROM $1
   AND s.name = $2;

-- name: find_sealed(secret_id, version)
SELECT sealed, kind
  FROM auth_secret_versions
 WHERE secret_id = $1
   AND version = $2;

-- name: note_opened(secret_id, version, opened_at, opened_by)
UPDATE auth_secret_versions
   SET opened_at = $3, opened_by = $4
 WHERE secret_id = $1
   AND version = $2;

-- name: insert_recipient(recipient_id, name, client_id, created_at)
-- No row: the name is taken, or the client is a recipient already.
INSERT INTO auth_recipients (recipient_id, name, client_id, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING recipient_id;

-- name: lock_recipients()
-- Recipients are made one at a time, so that a refused one of two leaves no client behind.
LOCK TABLE auth_recipients IN SHARE ROW EXCLUSIVE MODE;

-- name: find_recipient(client_id)
SELECT r.recipient_id, r.name, r.client_id, c.tenant_id, r.created_at
  FROM auth_recipients r
  JOIN auth_clients c USING (client_id)
 WHERE r.client_id = $1;

-- name: list_recipients()
SELECT r.recipient_id, r.name, r.client_id, c.tenant_id, r.created_at
  FROM auth_recipients r
  JOIN auth_clients c USING (client_id)
 ORDER BY r.name;

-- name: delete_recipient(name)
DELETE FROM auth_recipients
 WHERE name = $1
RETURNING recipient_id;

-- name: assign(secret_id, recipient_ids)
-- Makes exactly these the recipients.  A recipient that was removed meanwhile is left out.
WITH gone AS (
    DELETE FROM auth_secret_recipients
     WHERE secret_id = $1
       AND recipient_id <> ALL ($2::uuid[])
)
INSERT INTO auth_secret_recipients (secret_id, recipient_id)
SELECT $1, recipient_id
  FROM auth_recipients
 WHERE recipient_id = ANY ($2::uuid[])
   FOR KEY SHARE
ON CONFLICT DO NOTHING;

-- name: list_sealed(after_secret, after_version, most)
-- For re-sealing, in the order of the key.
SELECT v.secret_id, s.tenant_id, s.name, v.version, v.sealed
  FROM auth_secret_versions v
  JOIN auth_secrets s USING (secret_id)
 WHERE (v.secret_id, v.version) > ($1, $2)
 ORDER BY v.secret_id, v.version
 LIMIT $3
   FOR UPDATE OF v;

-- name: reseal(secret_id, version, before, sealed)
UPDATE auth_secret_versions
   SET sealed = $4
 WHERE secret_id = $1
   AND version = $2
   AND sealed = $3;

-- name: count_seals()
-- How many ciphertexts each master key has sealed: its id is before the dot.  NULL: the id is damaged.
SELECT substring(encode(substring(sealed FROM 1 FOR 9), 'escape') FROM '^([0-9a-f]{8})\.') AS key_id,
       count(*) AS count
  FROM auth_secret_versions
 GROUP BY 1;
