-- Invitations into an organization.  Writes auth_invitations.

-- name: insert(invitation_id, tenant_id, email, role, token_hash, invited_by, created_at, expires_at)
INSERT INTO auth_invitations (invitation_id, tenant_id, email, role, token_hash, invited_by,
                              created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: lock_open(token_hash, at)
-- When two requests use one link at the same time, the second finds it used.
SELECT i.invitation_id, i.tenant_id, i.email, i.role, o.slug, o.name AS organization
  FROM auth_invitations i
  JOIN auth_organizations o USING (tenant_id)
 WHERE i.token_hash = $1
   AND i.used_at IS NULL
   AND i.expires_at > $2
   AND o.disabled_at IS NULL
   FOR UPDATE OF i;

-- name: lock_one(invitation_id, tenant_id, at)
-- Only open invitations can be withdrawn.  Rows out of reach are not locked (NULL: any organization).
SELECT invitation_id, tenant_id, email, role, invited_by, created_at, expires_at
  FROM auth_invitations
 WHERE invitation_id = $1
   AND ($2::uuid IS NULL OR tenant_id = $2)
   AND used_at IS NULL
   AND expires_at > $3
   FOR UPDATE;

-- name: lock_sent(tenant_id, emails, at)
-- The open invitations to one address, in all its spellings.
SELECT invitation_id, tenant_id, email, role, invited_by, created_at, expires_at
  FROM auth_invitations
 WHERE tenant_id = $1
   AND email = ANY ($2::text[])
   AND used_at IS NULL
   AND expires_at > $3
 ORDER BY invitation_id
   FOR UPDATE;

-- name: list_open(tenant_id, after, at, most)
SELECT invitation_id, tenant_id, email, role, invited_by, created_at, expires_at
  FROM auth_invitations
 WHERE tenant_id = $1
   AND invitation_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
   AND used_at IS NULL
   AND expires_at > $3
 ORDER BY invitation_id
 LIMIT $4;

-- name: use(invitation_id, used_at)
UPDATE auth_invitations
   SET used_at = $2
 WHERE invitation_id = $1;

-- name: withdraw(tenant_id, invited_by, at)
-- The invitations of a person who may no longer invite; NULL: in all organizations.
UPDATE auth_invitations
   SET used_at = $3
 WHERE invited_by = $2
   AND ($1::uuid IS NULL OR tenant_id = $1)
   AND used_at IS NULL;

-- name: withdraw_to(tenant_id, emails, at)
-- A person who was removed cannot come back by an older link.
UPDATE auth_invitations
   SET used_at = $3
 WHERE tenant_id = $1
   AND email = ANY ($2::text[])
   AND used_at IS NULL;

-- name: forget(emails)
-- The address of an invitation is personal data: an erasure removes it.
DELETE FROM auth_invitations
 WHERE email = ANY ($1::text[]);

-- name: prune(after, before, most)
WITH gone AS (
    DELETE FROM auth_invitations
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_invitations
             WHERE expires_at >= $1
               AND expires_at < $2
             ORDER BY expires_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING expires_at
)
SELECT count(*)::integer AS rows, max(expires_at) AS upto
  FROM gone;

-- name: export_sent(tenant_id, email)
-- The invitations of an organization to an address, as lines of JSON.
SELECT json_build_object(
           'kind', 'invitation', 'id', invitation_id, 'email', email, 'role', role,
           'created_at', created_at, 'expires_at', expires_at, 'used_at', used_at)::text AS line
  FROM auth_invitations
 WHERE tenant_id = $1
   AND email = $2
 ORDER BY invitation_id;
