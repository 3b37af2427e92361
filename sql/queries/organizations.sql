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
