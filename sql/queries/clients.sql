-- OAuth clients.  Writes auth_clients.

-- name: insert(client_id, tenant_id, name, scopes, secret_mac, jwks, created_at, token_endpoint_auth_method, grant_types, redirect_uris, post_logout_redirect_uris, origins, first_party, require_pkce, profile, id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri, policy_uri, tos_uri)
INSERT INTO auth_clients (client_id, tenant_id, name, scopes, secret_mac, jwks, created_at,
                          token_endpoint_auth_method, grant_types, redirect_uris,
                          post_logout_redirect_uris, origins, first_party, require_pkce, profile,
                          id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri,
                          policy_uri, tos_uri)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
        $19, $20, $21);

-- name: find(client_id)
SELECT client_id, tenant_id, name, scopes, secret_mac, jwks::text AS jwks, created_at, disabled_at,
       previous_mac, previous_until, token_endpoint_auth_method, grant_types, redirect_uris,
       post_logout_redirect_uris, origins, first_party, require_pkce, profile,
       id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri, policy_uri, tos_uri
  FROM auth_clients
 WHERE client_id = $1;

-- name: find_enabled(client_id)
-- A client that may act: neither it nor its organization is disabled.
SELECT c.client_id, c.tenant_id, c.name, c.scopes, c.secret_mac, c.jwks::text AS jwks, c.created_at,
       c.disabled_at, c.previous_mac, c.previous_until, c.token_endpoint_auth_method, c.grant_types,
       c.redirect_uris, c.post_logout_redirect_uris, c.origins, c.first_party, c.require_pkce,
       c.profile, c.id_token_signed_response_alg, c.backchannel_logout_uri, c.publisher, c.logo_uri,
       c.policy_uri, c.tos_uri
  FROM auth_clients c
  LEFT JOIN auth_organizations o USING (tenant_id)
 WHERE c.client_id = $1
   AND c.disabled_at IS NULL
   AND o.disabled_at IS NULL;

-- name: lock(client_id, tenant_id)
-- A transaction that disables, enables or rotates a client locks its row, so that only one of two acts.
-- Rows out of reach are not locked (NULL: any organization, or the platform).
SELECT client_id, tenant_id, name, scopes, secret_mac, jwks::text AS jwks, created_at, disabled_at,
       previous_mac, previous_until, token_endpoint_auth_method, grant_types, redirect_uris,
       post_logout_redirect_uris, origins, first_party, require_pkce, profile,
       id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri, policy_uri, tos_uri
  FROM auth_clients
 WHERE client_id = $1
   AND ($2::uuid IS NULL OR tenant_id = $2)
   FOR UPDATE;

-- name: list_page(tenant_id, after, most)
-- The clients of an organization; NULL: those of the platform.
SELECT client_id, tenant_id, name, scopes, secret_mac, jwks::text AS jwks, created_at, disabled_at,
       previous_mac, previous_until, token_endpoint_auth_method, grant_types, redirect_uris,
       post_logout_redirect_uris, origins, first_party, require_pkce, profile,
       id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri, policy_uri, tos_uri
  FROM auth_clients
 WHERE (tenant_id = $1 OR ($1::uuid IS NULL AND tenant_id IS NULL))
   AND client_id > coalesce($2::text, '')
 ORDER BY client_id
 LIMIT $3;

-- name: set_disabled(client_id, tenant_id, disabled_at)
UPDATE auth_clients
   SET disabled_at = $3
 WHERE client_id = $1
   AND tenant_id IS NOT DISTINCT FROM $2::uuid;

-- name: replace_secret(client_id, tenant_id, secret_mac, previous_mac, previous_until)
-- Without an overlap, the old secret stops working with this.
UPDATE auth_clients
   SET secret_mac = $3, previous_mac = $4, previous_until = $5
 WHERE client_id = $1
   AND tenant_id IS NOT DISTINCT FROM $2::uuid;

-- name: change(client_id, tenant_id, name, scopes, secret_mac, previous_mac, previous_until, jwks, token_endpoint_auth_method, grant_types, redirect_uris, post_logout_redirect_uris, origins, first_party, require_pkce, profile, id_token_signed_response_alg, backchannel_logout_uri, publisher, logo_uri, policy_uri, tos_uri)
-- Replace all that may change of a client.  The caller has locked it.
UPDATE auth_clients
   SET name = $3, scopes = $4, secret_mac = $5, previous_mac = $6, previous_until = $7,
       jwks = $8::text::jsonb, token_endpoint_auth_method = $9, grant_types = $10,
       redirect_uris = $11, post_logout_redirect_uris = $12, origins = $13, first_party = $14,
       require_pkce = $15, profile = $16, id_token_signed_response_alg = $17,
       backchannel_logout_uri = $18, publisher = $19, logo_uri = $20, policy_uri = $21, tos_uri = $22
 WHERE client_id = $1
   AND tenant_id IS NOT DISTINCT FROM $2::uuid;

-- name: delete(client_id, tenant_id)
DELETE FROM auth_clients
 WHERE client_id = $1
   AND tenant_id IS NOT DISTINCT FROM $2::uuid;
