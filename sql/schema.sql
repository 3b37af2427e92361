-- GENERATED from sql/migrations by `python -m service.embedded schema`.

CREATE FUNCTION public.auth_checkpoints_drop(before timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    dropped integer;
BEGIN
    IF before > now() - interval '80 days' THEN
        RAISE EXCEPTION 'the checkpoints of the last 80 days are not dropped';
    END IF;
    WITH beginning AS (
        SELECT DISTINCT ON (chain_id) chain_id, checkpoint_id, position
          FROM auth_event_checkpoints
         WHERE kind = 'retention'
         ORDER BY chain_id, checkpoint_id DESC
    )
    DELETE FROM auth_event_checkpoints c
     USING beginning b
     WHERE c.chain_id = b.chain_id
       AND c.checkpoint_id <> b.checkpoint_id
       AND c.position <= b.position
       AND c.signed_at < before
       AND NOT EXISTS (SELECT
                         FROM auth_event_seals s
                        WHERE s.chain_id = c.chain_id
                          AND s.position <= c.position);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END $$;

CREATE FUNCTION public.auth_eventos_drop(before timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $_$
DECLARE
    part    record;
    dropped integer := 0;
BEGIN
    IF before > now() - interval '80 days' THEN
        RAISE EXCEPTION 'the last 80 days of the audit trail are not dropped';
    END IF;
    LOCK TABLE ONLY auth_eventos, ONLY auth_event_seals IN ACCESS EXCLUSIVE MODE;
    FOR part IN
        SELECT c.relname, i.inhparent = 'auth_eventos'::regclass AS events
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN ('auth_eventos'::regclass, 'auth_event_seals'::regclass)
           AND c.relname ~ '_\d{4}_\d{2}$'
           AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= before
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + part.events::integer;
    END LOOP;
    RETURN dropped;
END $_$;

CREATE FUNCTION public.auth_eventos_erase(person uuid, personal_keys text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT personal_keys <@ ARRAY['address', 'email', 'name', 'network_before', 'network_now'] THEN
        RAISE EXCEPTION 'not personal: %', personal_keys;
    END IF;
    PERFORM pg_advisory_xact_lock(auth_eventos_person(person::text));
    RETURN QUERY
    WITH erased AS (
        UPDATE auth_eventos
           SET ip = NULL, user_agent = '', detail = detail - personal_keys
         WHERE (user_id = person
                OR (actor_kind = 'user' AND actor_id = person::text
                    AND actor_id IS DISTINCT FROM user_id::text))
           AND (ip IS NOT NULL OR user_agent <> '' OR detail ?| personal_keys)
        RETURNING auth_eventos.event_id AS erased_id, auth_eventos.chain_id AS erased_chain
    ), unsalted AS (
        UPDATE auth_event_seals
           SET salt = NULL
          FROM erased
         WHERE auth_event_seals.event_id = erased_id
    )
    SELECT DISTINCT erased_chain FROM erased;
END $$;

CREATE FUNCTION public.auth_eventos_of_erased() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public'
    AS $$
DECLARE
    person text := CASE WHEN NEW.actor_kind = 'user' THEN NEW.actor_id ELSE NEW.user_id::text END;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        hashtextextended(TG_TABLE_SCHEMA || ' events of ' || (hashtext(person) & 255), 0));
    -- A statement of its own: it sees what was committed while the lock was waited for.
    IF EXISTS (SELECT FROM auth_users WHERE user_id = person::uuid AND erased_at IS NOT NULL) THEN
        NEW.ip := NULL;
        NEW.user_agent := '';
        NEW.detail := NEW.detail - ARRAY['address', 'email', 'name', 'network_before', 'network_now'];
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.auth_eventos_partitions(first timestamp with time zone, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
    month timestamptz;
    until timestamptz;
    name  text;
    made  integer := 0;
BEGIN
    FOR ahead IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first AT TIME ZONE 'UTC') + make_interval(months => ahead))
                 AT TIME ZONE 'UTC';
        until := (date_trunc('month', first AT TIME ZONE 'UTC') + make_interval(months => ahead + 1))
                 AT TIME ZONE 'UTC';
        name := to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass('auth_eventos_' || name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_eventos_default WHERE occurred_at >= month AND occurred_at < until
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF auth_eventos FOR VALUES FROM (%L) TO (%L)',
                           'auth_eventos_' || name, month, until);
            made := made + 1;
        END IF;
        IF to_regclass('auth_event_seals_' || name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_event_seals_default WHERE sealed_at >= month AND sealed_at < until
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF auth_event_seals FOR VALUES FROM (%L) TO (%L)',
                           'auth_event_seals_' || name, month, until);
        END IF;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION public.auth_eventos_person(person text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'public'
    AS $$
    SELECT hashtextextended(current_schema() || ' events of ' || (hashtext(person) & 255), 0)
$$;

CREATE FUNCTION public.auth_grant_to(service name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public'
    AS $$
DECLARE
    here name := current_schema();
    item record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', here, service);
    FOR item IN
        SELECT c.relname
          FROM pg_class c
         WHERE c.relnamespace = here::regnamespace
           AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM %I', item.relname, service);
        EXECUTE format('GRANT SELECT ON %I TO %I', item.relname, service);
        CONTINUE WHEN item.relname = 'schema_migrations';
        EXECUTE format('GRANT INSERT ON %I TO %I', item.relname, service);
        CONTINUE WHEN item.relname IN ('auth_eventos', 'auth_event_seals', 'auth_event_checkpoints');
        EXECUTE format('GRANT UPDATE, DELETE ON %I TO %I', item.relname, service);
    END LOOP;
    -- What needs the owner's rights is a function of its own, and nobody else's to call.
    FOR item IN
        SELECT p.oid::regprocedure AS name
          FROM pg_proc p
         WHERE p.pronamespace = here::regnamespace
           AND p.prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.name, service);
    END LOOP;
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', here, service);
END $$;

CREATE TABLE public.auth_api_keys (
    key_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    owner_id uuid,
    public_id text NOT NULL,
    secret_mac bytea NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    networks cidr[] DEFAULT '{}'::cidr[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    ended_at timestamp with time zone,
    successor_id uuid,
    last_used_at timestamp with time zone,
    use_count bigint DEFAULT 0 NOT NULL,
    CONSTRAINT auth_api_keys_check CHECK ((expires_at >= created_at)),
    CONSTRAINT auth_api_keys_check1 CHECK (((revoked_at IS NULL) OR (ended_at IS NOT NULL))),
    CONSTRAINT auth_api_keys_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT auth_api_keys_public_id_check CHECK ((public_id ~ '^[0-9A-Za-z]{12}$'::text)),
    CONSTRAINT auth_api_keys_scopes_check CHECK (((cardinality(scopes) > 0) AND ('*'::text <> ALL (scopes)))),
    CONSTRAINT auth_api_keys_secret_mac_check CHECK ((octet_length(secret_mac) = 32))
)
WITH (fillfactor='85');

CREATE TABLE public.auth_clients (
    client_id text NOT NULL,
    tenant_id uuid,
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_mac bytea,
    jwks jsonb,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    previous_mac bytea,
    previous_until timestamp with time zone,
    token_endpoint_auth_method text DEFAULT 'client_secret_basic'::text NOT NULL,
    grant_types text[] DEFAULT '{client_credentials}'::text[] NOT NULL,
    redirect_uris text[] DEFAULT '{}'::text[] NOT NULL,
    post_logout_redirect_uris text[] DEFAULT '{}'::text[] NOT NULL,
    origins text[] DEFAULT '{}'::text[] NOT NULL,
    first_party boolean DEFAULT false NOT NULL,
    require_pkce boolean DEFAULT true NOT NULL,
    profile text,
    id_token_signed_response_alg text DEFAULT 'RS256'::text NOT NULL,
    backchannel_logout_uri text,
    publisher text,
    logo_uri text,
    policy_uri text,
    tos_uri text,
    CONSTRAINT auth_clients_client_id_check CHECK ((client_id ~ '^[A-Za-z0-9_-]{3,80}$'::text)),
    CONSTRAINT auth_clients_console CHECK (((client_id <> 'console'::text) OR ((tenant_id IS NULL) AND (token_endpoint_auth_method = 'none'::text) AND first_party AND (disabled_at IS NULL) AND ('refresh_token'::text = ANY (grant_types))))),
    CONSTRAINT auth_clients_credential CHECK (
CASE token_endpoint_auth_method
    WHEN 'none'::text THEN ((secret_mac IS NULL) AND (jwks IS NULL))
    WHEN 'private_key_jwt'::text THEN ((secret_mac IS NULL) AND (jwks IS NOT NULL))
    ELSE ((secret_mac IS NOT NULL) AND (jwks IS NULL))
END),
    CONSTRAINT auth_clients_fapi2 CHECK (((profile IS NULL) OR ((token_endpoint_auth_method = 'private_key_jwt'::text) AND require_pkce))),
    CONSTRAINT auth_clients_id_token_signed_response_alg_check CHECK ((id_token_signed_response_alg = ANY (ARRAY['RS256'::text, 'ES256'::text, 'EdDSA'::text]))),
    CONSTRAINT auth_clients_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT auth_clients_origins_check CHECK ((cardinality(origins) <= 20)),
    CONSTRAINT auth_clients_overlap CHECK (((previous_mac IS NULL) OR (secret_mac IS NOT NULL))),
    CONSTRAINT auth_clients_post_logout_redirect_uris_check CHECK ((cardinality(post_logout_redirect_uris) <= 20)),
    CONSTRAINT auth_clients_previous CHECK (((previous_mac IS NULL) = (previous_until IS NULL))),
    CONSTRAINT auth_clients_previous_mac_check CHECK ((octet_length(previous_mac) = 32)),
    CONSTRAINT auth_clients_profile_check CHECK ((profile = 'fapi2'::text)),
    CONSTRAINT auth_clients_public CHECK (((token_endpoint_auth_method <> 'none'::text) OR (require_pkce AND ('client_credentials'::text <> ALL (grant_types))))),
    CONSTRAINT auth_clients_publisher_check CHECK (((char_length(publisher) >= 1) AND (char_length(publisher) <= 200))),
    CONSTRAINT auth_clients_redirect_uris_check CHECK ((cardinality(redirect_uris) <= 20)),
    CONSTRAINT auth_clients_secret_mac_check CHECK ((octet_length(secret_mac) = 32)),
    CONSTRAINT auth_clients_token_endpoint_auth_method_check CHECK ((token_endpoint_auth_method = ANY (ARRAY['none'::text, 'client_secret_basic'::text, 'client_secret_post'::text, 'private_key_jwt'::text])))
);

CREATE TABLE public.auth_devices (
    device_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.auth_event_chains (
    chain_id uuid NOT NULL,
    "position" bigint NOT NULL,
    hash bytea NOT NULL,
    checkpoint_position bigint DEFAULT 0 NOT NULL,
    checkpoint_at timestamp with time zone,
    CONSTRAINT auth_event_chains_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT auth_event_chains_position_check CHECK (("position" >= 0))
)
WITH (fillfactor='70');

CREATE TABLE public.auth_event_checkpoints (
    checkpoint_id uuid NOT NULL,
    chain_id uuid NOT NULL,
    "position" bigint NOT NULL,
    kind text NOT NULL,
    signed_at timestamp with time zone NOT NULL,
    kid text NOT NULL,
    public_jwk jsonb NOT NULL,
    token text NOT NULL,
    mac bytea NOT NULL,
    CONSTRAINT auth_event_checkpoints_kind_check CHECK ((kind = ANY (ARRAY['head'::text, 'retention'::text]))),
    CONSTRAINT auth_event_checkpoints_mac_check CHECK ((octet_length(mac) = 32))
);

CREATE TABLE public.auth_event_seals (
    chain_id uuid NOT NULL,
    "position" bigint NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    form smallint NOT NULL,
    salt bytea,
    personal bytea NOT NULL,
    leaf bytea NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT auth_event_seals_check CHECK ((sealed_at >= occurred_at)),
    CONSTRAINT auth_event_seals_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT auth_event_seals_leaf_check CHECK ((octet_length(leaf) = 32)),
    CONSTRAINT auth_event_seals_personal_check CHECK ((octet_length(personal) = 32)),
    CONSTRAINT auth_event_seals_position_check CHECK (("position" >= 1)),
    CONSTRAINT auth_event_seals_previous_check CHECK ((octet_length(previous) = 32)),
    CONSTRAINT auth_event_seals_salt_check CHECK ((octet_length(salt) = 16))
)
PARTITION BY RANGE (sealed_at);

CREATE TABLE public.auth_event_seals_default (
    chain_id uuid NOT NULL,
    "position" bigint NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    form smallint NOT NULL,
    salt bytea,
    personal bytea NOT NULL,
    leaf bytea NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT auth_event_seals_check CHECK ((sealed_at >= occurred_at)),
    CONSTRAINT auth_event_seals_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT auth_event_seals_leaf_check CHECK ((octet_length(leaf) = 32)),
    CONSTRAINT auth_event_seals_personal_check CHECK ((octet_length(personal) = 32)),
    CONSTRAINT auth_event_seals_position_check CHECK (("position" >= 1)),
    CONSTRAINT auth_event_seals_previous_check CHECK ((octet_length(previous) = 32)),
    CONSTRAINT auth_event_seals_salt_check CHECK ((octet_length(salt) = 16))
);

CREATE TABLE public.auth_eventos (
    event_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    tenant_id uuid,
    actor_kind text NOT NULL,
    actor_id text,
    user_id uuid,
    session_id uuid,
    event_type text NOT NULL,
    ip inet,
    user_agent text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    request_id text NOT NULL,
    chain_id uuid GENERATED ALWAYS AS (COALESCE(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)) STORED NOT NULL,
    recorded_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT auth_eventos_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['nobody'::text, 'user'::text, 'client'::text, 'api_key'::text, 'operator'::text]))),
    CONSTRAINT auth_eventos_user_agent_check CHECK ((char_length(user_agent) <= 512))
)
PARTITION BY RANGE (occurred_at);

CREATE TABLE public.auth_eventos_default (
    event_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    tenant_id uuid,
    actor_kind text NOT NULL,
    actor_id text,
    user_id uuid,
    session_id uuid,
    event_type text NOT NULL,
    ip inet,
    user_agent text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    request_id text NOT NULL,
    chain_id uuid GENERATED ALWAYS AS (COALESCE(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)) STORED NOT NULL,
    recorded_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT auth_eventos_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['nobody'::text, 'user'::text, 'client'::text, 'api_key'::text, 'operator'::text]))),
    CONSTRAINT auth_eventos_user_agent_check CHECK ((char_length(user_agent) <= 512))
);

CREATE TABLE public.auth_families (
    handle_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    status text DEFAULT 'live'::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    token_hash bytea NOT NULL,
    rotated_at timestamp with time zone NOT NULL,
    idle_ttl interval NOT NULL,
    idle_expires_at timestamp with time zone NOT NULL,
    absolute_expires_at timestamp with time zone NOT NULL,
    last_ip text,
    last_network text,
    last_agent text DEFAULT ''::text NOT NULL,
    recorded boolean DEFAULT false NOT NULL,
    superseded timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    CONSTRAINT auth_families_generation_check CHECK ((generation >= 1)),
    CONSTRAINT auth_families_handle_hash_check CHECK ((octet_length(handle_hash) = 32)),
    CONSTRAINT auth_families_status_check CHECK ((status = ANY (ARRAY['live'::text, 'ended'::text, 'burned'::text]))),
    CONSTRAINT auth_families_superseded_check CHECK ((cardinality(superseded) <= 127)),
    CONSTRAINT auth_families_token_hash_check CHECK ((octet_length(token_hash) = 32))
)
WITH (fillfactor='70');

CREATE TABLE public.auth_idempotency (
    slot bytea NOT NULL,
    request_mac bytea NOT NULL,
    made text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_idempotency_request_mac_check CHECK ((octet_length(request_mac) = 32)),
    CONSTRAINT auth_idempotency_slot_check CHECK ((octet_length(slot) = 32))
);

CREATE TABLE public.auth_invitations (
    invitation_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    token_hash bytea NOT NULL,
    invited_by uuid,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT auth_invitations_email_check CHECK (((char_length(email) >= 3) AND (char_length(email) <= 320))),
    CONSTRAINT auth_invitations_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text, 'auditor'::text]))),
    CONSTRAINT auth_invitations_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

CREATE TABLE public.auth_lockouts (
    subject_id uuid NOT NULL,
    device_id uuid NOT NULL,
    attempts timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    locked_until timestamp with time zone,
    touched_at timestamp with time zone NOT NULL,
    under_way uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT auth_lockouts_attempts_check CHECK ((cardinality(attempts) <= 100)),
    CONSTRAINT auth_lockouts_under_way_check CHECK ((cardinality(under_way) <= 100))
)
WITH (fillfactor='70');

CREATE TABLE public.auth_memberships (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT auth_memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text, 'auditor'::text])))
);

CREATE TABLE public.auth_organizations (
    tenant_id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    policy jsonb,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT auth_organizations_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT auth_organizations_slug_check CHECK ((slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'::text))
);

CREATE TABLE public.auth_recipients (
    recipient_id uuid NOT NULL,
    name text NOT NULL,
    client_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_recipients_name_check CHECK ((name ~ '^[a-z0-9._-]{1,64}$'::text))
);

CREATE TABLE public.auth_revocation_head (
    single boolean DEFAULT true NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT auth_revocation_head_single_check CHECK (single)
);

CREATE TABLE public.auth_revocations (
    seq bigint NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    cutoff timestamp with time zone,
    tenant_id uuid,
    reason text NOT NULL,
    revoked_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_revocations_check CHECK (((cutoff IS NOT NULL) = (kind = ANY (ARRAY['sub'::text, 'tenant_id'::text, 'client_id'::text])))),
    CONSTRAINT auth_revocations_kind_check CHECK ((kind = ANY (ARRAY['jti'::text, 'sid'::text, 'sub'::text, 'tenant_id'::text, 'client_id'::text, 'kid'::text, 'akid'::text]))),
    CONSTRAINT auth_revocations_value_check CHECK (((char_length(value) >= 1) AND (char_length(value) <= 200)))
);

CREATE TABLE public.auth_root (
    single boolean DEFAULT true NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_root_single_check CHECK (single)
);

CREATE TABLE public.auth_sealing (
    single boolean DEFAULT true NOT NULL,
    recorded_xid xid8 NOT NULL,
    event_id uuid NOT NULL,
    CONSTRAINT auth_sealing_single_check CHECK (single)
);

CREATE TABLE public.auth_secret_recipients (
    secret_id uuid NOT NULL,
    recipient_id uuid NOT NULL
);

CREATE TABLE public.auth_secret_versions (
    secret_id uuid NOT NULL,
    version integer NOT NULL,
    sealed bytea NOT NULL,
    fingerprint text NOT NULL,
    kind text NOT NULL,
    mode text,
    last_four text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    opened_at timestamp with time zone,
    opened_by text,
    CONSTRAINT auth_secret_versions_check CHECK (((opened_at IS NULL) = (opened_by IS NULL))),
    CONSTRAINT auth_secret_versions_fingerprint_check CHECK ((char_length(fingerprint) = 22)),
    CONSTRAINT auth_secret_versions_last_four_check CHECK ((char_length(last_four) <= 4)),
    CONSTRAINT auth_secret_versions_mode_check CHECK ((mode = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT auth_secret_versions_version_check CHECK ((version > 0))
);

CREATE TABLE public.auth_secrets (
    secret_id uuid NOT NULL,
    tenant_id uuid,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_secrets_name_check CHECK ((name ~ '^[a-z0-9._-]{1,64}$'::text))
);

CREATE TABLE public.auth_sessions (
    session_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    device_id uuid,
    client_id text NOT NULL,
    amr text[] NOT NULL,
    auth_time timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ended_why text,
    CONSTRAINT auth_sessions_check CHECK (((ended_at IS NULL) = (ended_why IS NULL)))
);

CREATE TABLE public.auth_signing_keys (
    kid text NOT NULL,
    algorithm text NOT NULL,
    public_jwk jsonb NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    activates_at timestamp with time zone NOT NULL,
    retires_at timestamp with time zone,
    removes_at timestamp with time zone,
    killed_at timestamp with time zone,
    CONSTRAINT auth_signing_keys_algorithm_check CHECK ((algorithm = ANY (ARRAY['ES256'::text, 'RS256'::text, 'EdDSA'::text]))),
    CONSTRAINT auth_signing_keys_check CHECK (((retires_at IS NULL) OR (retires_at >= activates_at))),
    CONSTRAINT auth_signing_keys_check1 CHECK (((retires_at IS NULL) = (removes_at IS NULL))),
    CONSTRAINT auth_signing_keys_check2 CHECK ((removes_at >= retires_at))
);

CREATE TABLE public.auth_users (
    user_id uuid NOT NULL,
    email text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    password_hash text,
    password_changed_at timestamp with time zone,
    password_scheme text GENERATED ALWAYS AS ("substring"(password_hash, '^(\$argon2id\$v=\d+\$[^$]+|\$2[aby]\$\d\d)'::text)) STORED,
    platform_admin boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    erased_at timestamp with time zone,
    folded_before boolean DEFAULT false NOT NULL,
    CONSTRAINT auth_users_email_check CHECK (((char_length(email) >= 3) AND (char_length(email) <= 320))),
    CONSTRAINT auth_users_erased CHECK (((erased_at IS NULL) OR ((disabled_at IS NOT NULL) AND (password_hash IS NULL) AND (name = ''::text) AND (NOT platform_admin)))),
    CONSTRAINT auth_users_name_check CHECK ((char_length(name) <= 200)),
    CONSTRAINT auth_users_password_hash_check CHECK ((octet_length(password_hash) <= 512))
);

ALTER TABLE ONLY public.auth_event_seals ATTACH PARTITION public.auth_event_seals_default DEFAULT;

ALTER TABLE ONLY public.auth_eventos ATTACH PARTITION public.auth_eventos_default DEFAULT;

ALTER TABLE ONLY public.auth_api_keys
    ADD CONSTRAINT auth_api_keys_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.auth_api_keys
    ADD CONSTRAINT auth_api_keys_public_id_key UNIQUE (public_id);

ALTER TABLE ONLY public.auth_clients
    ADD CONSTRAINT auth_clients_pkey PRIMARY KEY (client_id);

ALTER TABLE ONLY public.auth_devices
    ADD CONSTRAINT auth_devices_pkey PRIMARY KEY (device_id);

ALTER TABLE ONLY public.auth_event_chains
    ADD CONSTRAINT auth_event_chains_pkey PRIMARY KEY (chain_id);

ALTER TABLE ONLY public.auth_event_checkpoints
    ADD CONSTRAINT auth_event_checkpoints_pkey PRIMARY KEY (checkpoint_id);

ALTER TABLE ONLY public.auth_event_seals
    ADD CONSTRAINT auth_event_seals_pkey PRIMARY KEY (chain_id, "position", sealed_at);

ALTER TABLE ONLY public.auth_event_seals_default
    ADD CONSTRAINT auth_event_seals_default_pkey PRIMARY KEY (chain_id, "position", sealed_at);

ALTER TABLE ONLY public.auth_eventos
    ADD CONSTRAINT auth_eventos_pkey PRIMARY KEY (occurred_at, event_id);

ALTER TABLE ONLY public.auth_eventos_default
    ADD CONSTRAINT auth_eventos_default_pkey PRIMARY KEY (occurred_at, event_id);

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_pkey PRIMARY KEY (handle_hash);

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_session_id_key UNIQUE (session_id);

ALTER TABLE ONLY public.auth_idempotency
    ADD CONSTRAINT auth_idempotency_pkey PRIMARY KEY (slot);

ALTER TABLE ONLY public.auth_invitations
    ADD CONSTRAINT auth_invitations_pkey PRIMARY KEY (invitation_id);

ALTER TABLE ONLY public.auth_invitations
    ADD CONSTRAINT auth_invitations_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY public.auth_lockouts
    ADD CONSTRAINT auth_lockouts_pkey PRIMARY KEY (subject_id, device_id);

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_pkey PRIMARY KEY (user_id, tenant_id);

ALTER TABLE ONLY public.auth_organizations
    ADD CONSTRAINT auth_organizations_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.auth_organizations
    ADD CONSTRAINT auth_organizations_slug_key UNIQUE (slug);

ALTER TABLE ONLY public.auth_recipients
    ADD CONSTRAINT auth_recipients_client_id_key UNIQUE (client_id);

ALTER TABLE ONLY public.auth_recipients
    ADD CONSTRAINT auth_recipients_name_key UNIQUE (name);

ALTER TABLE ONLY public.auth_recipients
    ADD CONSTRAINT auth_recipients_pkey PRIMARY KEY (recipient_id);

ALTER TABLE ONLY public.auth_revocation_head
    ADD CONSTRAINT auth_revocation_head_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.auth_revocations
    ADD CONSTRAINT auth_revocations_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.auth_root
    ADD CONSTRAINT auth_root_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.auth_sealing
    ADD CONSTRAINT auth_sealing_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.auth_secret_recipients
    ADD CONSTRAINT auth_secret_recipients_pkey PRIMARY KEY (secret_id, recipient_id);

ALTER TABLE ONLY public.auth_secret_versions
    ADD CONSTRAINT auth_secret_versions_pkey PRIMARY KEY (secret_id, version);

ALTER TABLE ONLY public.auth_secrets
    ADD CONSTRAINT auth_secrets_pkey PRIMARY KEY (secret_id);

ALTER TABLE ONLY public.auth_secrets
    ADD CONSTRAINT auth_secrets_tenant_id_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, name);

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY public.auth_signing_keys
    ADD CONSTRAINT auth_signing_keys_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY public.auth_users
    ADD CONSTRAINT auth_users_email_key UNIQUE (email);

ALTER TABLE ONLY public.auth_users
    ADD CONSTRAINT auth_users_pkey PRIMARY KEY (user_id);

CREATE INDEX auth_api_keys_ending ON public.auth_api_keys USING btree (expires_at) WHERE (ended_at IS NULL);

CREATE INDEX auth_api_keys_owner ON public.auth_api_keys USING btree (owner_id, key_id);

CREATE INDEX auth_api_keys_tenant ON public.auth_api_keys USING btree (tenant_id, key_id);

CREATE INDEX auth_clients_tenant ON public.auth_clients USING btree (tenant_id, client_id);

CREATE INDEX auth_devices_expiry ON public.auth_devices USING btree (expires_at);

CREATE INDEX auth_devices_user ON public.auth_devices USING btree (user_id, used_at);

CREATE INDEX auth_event_chains_due ON public.auth_event_chains USING btree (chain_id) WHERE ("position" > checkpoint_position);

CREATE INDEX auth_event_checkpoints_chain ON public.auth_event_checkpoints USING btree (chain_id, checkpoint_id);

CREATE INDEX auth_event_seals_event ON ONLY public.auth_event_seals USING btree (event_id);

CREATE INDEX auth_event_seals_default_event_id_idx ON public.auth_event_seals_default USING btree (event_id);

CREATE INDEX auth_eventos_actor ON ONLY public.auth_eventos USING btree (actor_id) WHERE ((actor_kind = 'user'::text) AND (actor_id IS DISTINCT FROM (user_id)::text));

CREATE INDEX auth_eventos_address ON ONLY public.auth_eventos USING btree (ip, chain_id, event_id) WHERE (ip IS NOT NULL);

CREATE INDEX auth_eventos_chain ON ONLY public.auth_eventos USING btree (chain_id, event_id);

CREATE INDEX auth_eventos_default_actor_id_idx ON public.auth_eventos_default USING btree (actor_id) WHERE ((actor_kind = 'user'::text) AND (actor_id IS DISTINCT FROM (user_id)::text));

CREATE INDEX auth_eventos_default_chain_id_event_id_idx ON public.auth_eventos_default USING btree (chain_id, event_id);

CREATE INDEX auth_eventos_type ON ONLY public.auth_eventos USING btree (chain_id, event_type, event_id);

CREATE INDEX auth_eventos_default_chain_id_event_type_event_id_idx ON public.auth_eventos_default USING btree (chain_id, event_type, event_id);

CREATE INDEX auth_eventos_default_ip_chain_id_event_id_idx ON public.auth_eventos_default USING btree (ip, chain_id, event_id) WHERE (ip IS NOT NULL);

CREATE INDEX auth_eventos_recorded ON ONLY public.auth_eventos USING btree (recorded_xid, event_id);

CREATE INDEX auth_eventos_default_recorded_xid_event_id_idx ON public.auth_eventos_default USING btree (recorded_xid, event_id);

CREATE INDEX auth_eventos_request ON ONLY public.auth_eventos USING btree (request_id, chain_id, event_id);

CREATE INDEX auth_eventos_default_request_id_chain_id_event_id_idx ON public.auth_eventos_default USING btree (request_id, chain_id, event_id);

CREATE INDEX auth_eventos_session ON ONLY public.auth_eventos USING btree (session_id, chain_id, event_id) WHERE (session_id IS NOT NULL);

CREATE INDEX auth_eventos_default_session_id_chain_id_event_id_idx ON public.auth_eventos_default USING btree (session_id, chain_id, event_id) WHERE (session_id IS NOT NULL);

CREATE INDEX auth_eventos_user ON ONLY public.auth_eventos USING btree (user_id, chain_id, event_id) WHERE (user_id IS NOT NULL);

CREATE INDEX auth_eventos_default_user_id_chain_id_event_id_idx ON public.auth_eventos_default USING btree (user_id, chain_id, event_id) WHERE (user_id IS NOT NULL);

CREATE INDEX auth_idempotency_expires ON public.auth_idempotency USING btree (expires_at);

CREATE INDEX auth_invitations_expiry ON public.auth_invitations USING btree (expires_at);

CREATE INDEX auth_invitations_invited_by ON public.auth_invitations USING btree (invited_by);

CREATE INDEX auth_invitations_open ON public.auth_invitations USING btree (tenant_id, email) WHERE (used_at IS NULL);

CREATE INDEX auth_invitations_tenant ON public.auth_invitations USING btree (tenant_id, invitation_id);

CREATE INDEX auth_lockouts_touched ON public.auth_lockouts USING btree (touched_at);

CREATE INDEX auth_memberships_tenant ON public.auth_memberships USING btree (tenant_id, user_id);

CREATE INDEX auth_revocations_expiry ON public.auth_revocations USING btree (expires_at);

CREATE INDEX auth_revocations_what ON public.auth_revocations USING btree (kind, value);

CREATE INDEX auth_secret_recipients_recipient ON public.auth_secret_recipients USING btree (recipient_id);

CREATE INDEX auth_sessions_client ON public.auth_sessions USING btree (client_id) WHERE ((ended_at IS NULL) AND (client_id <> 'console'::text));

CREATE INDEX auth_sessions_expiry ON public.auth_sessions USING btree (expires_at);

CREATE INDEX auth_sessions_tenant ON public.auth_sessions USING btree (tenant_id) WHERE (ended_at IS NULL);

CREATE INDEX auth_sessions_user ON public.auth_sessions USING btree (user_id, session_id);

CREATE INDEX auth_users_platform_admins ON public.auth_users USING btree (user_id) WHERE platform_admin;

CREATE INDEX auth_users_scheme ON public.auth_users USING btree (password_scheme);

ALTER INDEX public.auth_event_seals_event ATTACH PARTITION public.auth_event_seals_default_event_id_idx;

ALTER INDEX public.auth_event_seals_pkey ATTACH PARTITION public.auth_event_seals_default_pkey;

ALTER INDEX public.auth_eventos_actor ATTACH PARTITION public.auth_eventos_default_actor_id_idx;

ALTER INDEX public.auth_eventos_chain ATTACH PARTITION public.auth_eventos_default_chain_id_event_id_idx;

ALTER INDEX public.auth_eventos_type ATTACH PARTITION public.auth_eventos_default_chain_id_event_type_event_id_idx;

ALTER INDEX public.auth_eventos_address ATTACH PARTITION public.auth_eventos_default_ip_chain_id_event_id_idx;

ALTER INDEX public.auth_eventos_pkey ATTACH PARTITION public.auth_eventos_default_pkey;

ALTER INDEX public.auth_eventos_recorded ATTACH PARTITION public.auth_eventos_default_recorded_xid_event_id_idx;

ALTER INDEX public.auth_eventos_request ATTACH PARTITION public.auth_eventos_default_request_id_chain_id_event_id_idx;

ALTER INDEX public.auth_eventos_session ATTACH PARTITION public.auth_eventos_default_session_id_chain_id_event_id_idx;

ALTER INDEX public.auth_eventos_user ATTACH PARTITION public.auth_eventos_default_user_id_chain_id_event_id_idx;

CREATE TRIGGER auth_eventos_of_erased BEFORE INSERT ON public.auth_eventos FOR EACH ROW WHEN ((((new.ip IS NOT NULL) OR (new.user_agent <> ''::text)) AND
        CASE
            WHEN (new.actor_kind = 'user'::text) THEN (new.actor_id IS NOT NULL)
            ELSE (new.user_id IS NOT NULL)
        END)) EXECUTE FUNCTION public.auth_eventos_of_erased();

ALTER TABLE ONLY public.auth_api_keys
    ADD CONSTRAINT auth_api_keys_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_api_keys
    ADD CONSTRAINT auth_api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_clients
    ADD CONSTRAINT auth_clients_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_devices
    ADD CONSTRAINT auth_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.auth_sessions(session_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_invitations
    ADD CONSTRAINT auth_invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES public.auth_users(user_id) ON DELETE SET NULL;

ALTER TABLE ONLY public.auth_invitations
    ADD CONSTRAINT auth_invitations_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_recipients
    ADD CONSTRAINT auth_recipients_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.auth_clients(client_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_secret_recipients
    ADD CONSTRAINT auth_secret_recipients_recipient_id_fkey FOREIGN KEY (recipient_id) REFERENCES public.auth_recipients(recipient_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_secret_recipients
    ADD CONSTRAINT auth_secret_recipients_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES public.auth_secrets(secret_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_secret_versions
    ADD CONSTRAINT auth_secret_versions_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES public.auth_secrets(secret_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_secrets
    ADD CONSTRAINT auth_secrets_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;
