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
-- A transaction that changes the owners of an organization locks its row, before user, session and family.
-- Sign-ins can go on meanwhile: they lock the row FOR KEY SHARE only.
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id = $1
   FOR NO KEY UPDATE;

-- name: lock_out(tenant_id)
-- A transaction that disables an organization waits for transactions that open a session there, and they
-- wait for it.  So no session is opened in between, which would work again after the organization is
-- enabled.
SELECT tenant_id, slug, name, policy::text AS policy, created_at, disabled_at
  FROM auth_organizations
 WHERE tenant_id = $1
   FOR UPDATE;

-- name: list_page(after, most)
-- All organizations, for the platform.
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
