-- Organizations.  Writes auth_organizations.

-- name: insert(tenant_id, slug, name, created_at)
-- No row when the slug is taken: a refusal is never learned from a database error.
INSERT INTO auth_organizations (tenant_id, slug, name, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (slug) DO NOTHING
RETURNING tenant_id, slug, name, policy::text AS policy, created_at, disabled_at;

-- name: find_by_slug(slug)
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE slug = $1;

-- name: find(tenant_id)
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id = $1;

-- name: lock(tenant_id)
-- Whoever changes who owns an organization holds it: before user, session and family.  Sign-ins go
-- on meanwhile: they hold it by its key alone.
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id = $1
   FOR NO KEY UPDATE;

-- name: lock_out(tenant_id)
-- Whoever disables an organization waits for those who open a session there, and they wait for them:
-- no session slips between, to live again when the organization is enabled.
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id = $1
   FOR UPDATE;

-- name: list_page(after, most)
-- The platform's own list, over all organizations.
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
 ORDER BY tenant_id
 LIMIT $2;

-- name: set_disabled(tenant_id, disabled_at)
UPDATE auth_organizations
   SET disabled_at = $2
 WHERE tenant_id = $1;

-- name: change(tenant_id, name, policy)
UPDATE auth_organizations
   SET name = $2, policy = $3::text::jsonb
 WHERE tenant_id = $1;
