-- Clients are public or confidential, and say what they may do: how they prove who they are, which
-- grants they use, where people are sent back to, what people are shown of them.

ALTER TABLE auth_clients
    DROP CONSTRAINT auth_clients_check,
    ADD COLUMN token_endpoint_auth_method text NOT NULL DEFAULT 'client_secret_basic'
        CHECK (token_endpoint_auth_method IN ('none', 'client_secret_basic', 'client_secret_post',
                                              'private_key_jwt')),
    ADD COLUMN grant_types text[] NOT NULL DEFAULT '{client_credentials}',
    ADD COLUMN redirect_uris text[] NOT NULL DEFAULT '{}' CHECK (cardinality(redirect_uris) <= 20),
    ADD COLUMN post_logout_redirect_uris text[] NOT NULL DEFAULT '{}'
        CHECK (cardinality(post_logout_redirect_uris) <= 20),
    -- Of the web pages that may call us for it.
    ADD COLUMN origins text[] NOT NULL DEFAULT '{}' CHECK (cardinality(origins) <= 20),
    -- The platform's own: it needs no consent, and its tokens may open the management API.
    ADD COLUMN first_party boolean NOT NULL DEFAULT false,
    ADD COLUMN require_pkce boolean NOT NULL DEFAULT true,
    ADD COLUMN profile text CHECK (profile IN ('fapi2')),
    ADD COLUMN id_token_signed_response_alg text NOT NULL DEFAULT 'RS256'
        CHECK (id_token_signed_response_alg IN ('RS256', 'ES256', 'EdDSA')),
    ADD COLUMN backchannel_logout_uri text,
    ADD COLUMN publisher text CHECK (char_length(publisher) BETWEEN 1 AND 200),
    ADD COLUMN logo_uri text,
    ADD COLUMN policy_uri text,
    ADD COLUMN tos_uri text;

UPDATE auth_clients SET token_endpoint_auth_method = 'private_key_jwt' WHERE secret_mac IS NULL;

INSERT INTO auth_clients (client_id, name, scopes, token_endpoint_auth_method, grant_types, first_party,
                          created_at)
VALUES ('console', 'Console', '{}', 'none', '{refresh_token}', true, now());

ALTER TABLE auth_clients
    ADD CONSTRAINT auth_clients_credential CHECK (
        CASE token_endpoint_auth_method
             WHEN 'none' THEN secret_mac IS NULL AND jwks IS NULL
             WHEN 'private_key_jwt' THEN secret_mac IS NULL AND jwks IS NOT NULL
             ELSE secret_mac IS NOT NULL AND jwks IS NULL
        END),
    ADD CONSTRAINT auth_clients_overlap CHECK (previous_mac IS NULL OR secret_mac IS NOT NULL),
    -- Nothing but PKCE binds a code to a client without a credential (OAuth 2.1 section 7.5), and no
    -- such client acts for itself (RFC 6749 section 4.4).
    ADD CONSTRAINT auth_clients_public CHECK (
        token_endpoint_auth_method <> 'none' OR (require_pkce AND 'client_credentials' <> ALL (grant_types))),
    ADD CONSTRAINT auth_clients_fapi2 CHECK (
        profile IS NULL OR (token_endpoint_auth_method = 'private_key_jwt' AND require_pkce)),
    -- People sign in by it: it stays as it is.
    ADD CONSTRAINT auth_clients_console CHECK (
        client_id <> 'console'
        OR (tenant_id IS NULL AND token_endpoint_auth_method = 'none' AND first_party
            AND disabled_at IS NULL AND 'refresh_token' = ANY (grant_types)));

-- Whose sessions end with their client: never the console's, whose sessions are the many.
CREATE INDEX auth_sessions_client ON auth_sessions (client_id)
    WHERE ended_at IS NULL AND client_id <> 'console';
