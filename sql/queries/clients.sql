-- OAuth clients.  Writes auth_clients.

-- name: insert(client_id, tenant_id, name, scopes, secret_mac, jwks, created_at)
INSERT INTO auth_clients (client_id, tenant_id, name, scopes, secret_mac, jwks, created_at)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7);

-- name: find(client_id)
SELECT client_id, tenant_id, name, scopes, secret_mac, jwks::text AS jwks, created_at, disabled_at
  FROM auth_clients
 WHERE client_id = $1;
