-- People and their memberships.  Writes auth_users, auth_memberships.

-- name: insert(user_id, email, name, password_hash, platform_admin, created_at)
-- No row when the e-mail is taken.
INSERT INTO auth_users (user_id, email, name, password_hash, password_changed_at, platform_admin, created_at)
VALUES ($1, $2, $3, $4::text, CASE WHEN $4 IS NULL THEN NULL ELSE $6::timestamptz END, $5, $6)
ON CONFLICT (email) DO NOTHING
RETURNING user_id;

-- name: insert_membership(tenant_id, user_id, role, created_at)
-- No row when the person is a member already.
INSERT INTO auth_memberships (tenant_id, user_id, role, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, tenant_id) DO NOTHING
RETURNING user_id;

-- name: find_by_email(emails, folded_before)
-- The first of several spellings under which there is an account.  `folded_before` only finds accounts from
-- before addresses followed IDNA 2008.
SELECT user_id, email, name, password_hash, password_changed_at, platform_admin, disabled_at,
       erased_at
  FROM auth_users
 WHERE email = ANY ($1::text[])
    OR (email = $2::text AND folded_before)
 ORDER BY array_position($1::text[], email)
 LIMIT 1;

-- name: find(user_id)
SELECT user_id, email, name, password_hash, password_changed_at, platform_admin, disabled_at,
       erased_at
  FROM auth_users
 WHERE user_id = $1;

-- name: lock(user_id)
-- First in the lock order user, session, family.  A transaction that ends all sessions of a person and one
-- that opens a session both take this lock, so that no session is opened in between.  Next are other rows
-- of the person (devices, lockouts, invitations, API keys, memberships), then the sealer's progress (for an
-- erasure), then the advisory lock of the person's events (migration 0025), and last the counter of the
-- revocations.
SELECT user_id, email, name, password_hash, password_changed_at, platform_admin, disabled_at,
       erased_at
  FROM auth_users
 WHERE user_id = $1
   FOR UPDATE;

-- name: lock_member(tenant_id, user_id)
-- The same for acts on a member.  A person who is not a member is not locked.
SELECT u.user_id
  FROM auth_users u
  JOIN auth_memberships m USING (user_id)
 WHERE m.tenant_id = $1
   AND u.user_id = $2
   FOR UPDATE OF u;

-- name: replace_password_hash(user_id, password_hash)
-- The same password under new parameters: not a change of password.
UPDATE auth_users
   SET password_hash = $2
 WHERE user_id = $1;

-- name: change_password(user_id, password_hash, changed_at)
UPDATE auth_users
   SET password_hash = $2, password_changed_at = $3
 WHERE user_id = $1;

-- name: list_memberships(user_id)
-- The oldest first: a sign-in without an organization uses that one.
SELECT m.tenant_id, m.role, o.slug, o.name, o.policy::text AS policy
  FROM auth_memberships m
  JOIN auth_organizations o USING (tenant_id)
 WHERE m.user_id = $1
   AND m.disabled_at IS NULL
   AND o.disabled_at IS NULL
 ORDER BY m.created_at, m.tenant_id;

-- name: lock_memberships(user_id, client_id)
-- The same, before a session of a client is opened: the organizations are locked FOR KEY SHARE.  `cutoff`:
-- tokens issued up to then are revoked.
SELECT m.tenant_id, m.role, o.slug, o.name, o.policy::text AS policy,
       (SELECT max(r.cutoff)
          FROM (VALUES ('sub', m.user_id::text), ('tenant_id', m.tenant_id::text), ('client_id', $2::text))
            AS mark (kind, value)
          JOIN auth_revocations r USING (kind, value)
         WHERE r.tenant_id IS NULL OR r.tenant_id = m.tenant_id) AS cutoff
  FROM auth_memberships m
  JOIN auth_organizations o USING (tenant_id)
 WHERE m.user_id = $1
   AND m.disabled_at IS NULL
   AND o.disabled_at IS NULL
 ORDER BY m.created_at, m.tenant_id
   FOR KEY SHARE OF o;

-- name: find_member(tenant_id, user_id)
-- A member as administrators see them, suspended and disabled ones too.
SELECT u.user_id, u.email, u.name, u.platform_admin, m.role, m.created_at AS member_since,
       u.disabled_at, m.disabled_at AS suspended_at, u.password_hash IS NOT NULL AS has_password
  FROM auth_memberships m
  JOIN auth_users u USING (user_id)
 WHERE m.tenant_id = $1
   AND m.user_id = $2;

-- name: list_members(tenant_id, after, most)
-- Both parts begin after the cursor.  Otherwise a merge of the two would read all people up to it.
SELECT u.user_id, u.email, u.name, u.platform_admin, m.role, m.created_at AS member_since,
       u.disabled_at, m.disabled_at AS suspended_at, u.password_hash IS NOT NULL AS has_password
  FROM auth_memberships m
  JOIN auth_users u USING (user_id)
 WHERE m.tenant_id = $1
   AND m.user_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
   AND u.user_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
 ORDER BY m.user_id
 LIMIT $3;

-- name: count_owners(tenant_id)
-- Owners who can act.  The caller has locked the organization.
SELECT count(*)::integer AS owners
  FROM auth_memberships m
  JOIN auth_users u USING (user_id)
 WHERE m.tenant_id = $1
   AND m.role = 'owner'
   AND m.disabled_at IS NULL
   AND u.disabled_at IS NULL;

-- name: hold_platform()
-- When two transactions each close access of a platform administrator, the second waits for the first.  This
-- lock comes after all locks on organizations and people.
SELECT true AS held
  FROM pg_advisory_xact_lock(hashtextextended(current_schema() || ': platform administrators', 0));

-- name: is_last_way_in(user_id, tenant_id)
-- Whether a platform administrator can sign in now, and none could with this person ($1), organization
-- ($2) or membership (both) closed.
SELECT count(*) > 0 AND count(*) FILTER (WHERE user_id <> $1 OR tenant_id <> $2) = 0 AS found
  FROM auth_users u
  JOIN auth_memberships m USING (user_id)
  JOIN auth_organizations o USING (tenant_id)
 WHERE u.platform_admin
   AND u.password_hash IS NOT NULL
   AND u.disabled_at IS NULL
   AND m.disabled_at IS NULL
   AND o.disabled_at IS NULL;

-- name: list_joined(user_id)
-- Every organization of which this person is a member, suspended or not.
SELECT tenant_id
  FROM auth_memberships
 WHERE user_id = $1
 ORDER BY tenant_id;

-- name: list_owned(user_id)
-- Organizations where this person is an owner who can act.
SELECT tenant_id
  FROM auth_memberships
 WHERE user_id = $1
   AND role = 'owner'
   AND disabled_at IS NULL
 ORDER BY tenant_id;

-- name: change_role(tenant_id, user_id, role)
UPDATE auth_memberships
   SET role = $3
 WHERE tenant_id = $1
   AND user_id = $2;

-- name: suspend(tenant_id, user_id, disabled_at)
UPDATE auth_memberships
   SET disabled_at = $3
 WHERE tenant_id = $1
   AND user_id = $2;

-- name: remove_member(tenant_id, user_id)
DELETE FROM auth_memberships
 WHERE tenant_id = $1
   AND user_id = $2;

-- name: set_disabled(user_id, disabled_at)
UPDATE auth_users
   SET disabled_at = $2
 WHERE user_id = $1;

-- name: leave_all(user_id)
DELETE FROM auth_memberships
 WHERE user_id = $1
RETURNING tenant_id, role;

-- name: erase(user_id, email, erased_at)
-- The rest of the row names nobody, and nobody can sign in to it.
UPDATE auth_users
   SET email = $2, name = '', password_hash = NULL, password_changed_at = NULL,
       platform_admin = false, disabled_at = coalesce(disabled_at, $3), erased_at = $3
 WHERE user_id = $1;

-- name: list_schemes()
-- Each stored password scheme with one example hash, found by skipping through its index.
WITH RECURSIVE scheme AS (
    (SELECT password_scheme FROM auth_users WHERE password_scheme IS NOT NULL
      ORDER BY password_scheme LIMIT 1)
    UNION ALL
    SELECT (SELECT u.password_scheme FROM auth_users u WHERE u.password_scheme > scheme.password_scheme
             ORDER BY u.password_scheme LIMIT 1)
      FROM scheme
     WHERE scheme.password_scheme IS NOT NULL
)
SELECT s.password_scheme AS scheme,
       (SELECT u.password_hash FROM auth_users u WHERE u.password_scheme = s.password_scheme LIMIT 1) AS example
  FROM scheme s
 WHERE s.password_scheme IS NOT NULL;

-- name: export_member(tenant_id, user_id)
-- The account of a member, as a line of JSON.
SELECT json_build_object(
           'kind', 'account', 'id', u.user_id, 'email', u.email, 'name', u.name, 'role', m.role,
           'member_since', m.created_at, 'suspended_at', m.disabled_at,
           'created_at', u.created_at, 'password_changed_at', u.password_changed_at,
           'disabled_at', u.disabled_at)::text AS line
  FROM auth_memberships m
  JOIN auth_users u USING (user_id)
 WHERE m.tenant_id = $1
   AND m.user_id = $2;
