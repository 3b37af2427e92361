-- A key ends with its owner's membership.  Those of people who were removed before that was so were
-- refused, and would have worked again once the person was invited again.

UPDATE auth_api_keys k
   SET revoked_at = coalesce(k.ended_at, now()), ended_at = coalesce(k.ended_at, now())
 WHERE k.owner_id IS NOT NULL
   AND k.revoked_at IS NULL
   AND NOT EXISTS (SELECT FROM auth_memberships m
                    WHERE m.user_id = k.owner_id
                      AND m.tenant_id = k.tenant_id);
