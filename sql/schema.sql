-- GENERATED from sql/migrations by `python -m service.embedded schema`.

CREATE FUNCTION public.auth_eventos_partitions(first timestamp with time zone, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public'
    AS $$
DECLARE
    month date;
    name  text;
    made  integer := 0;
BEGIN
    FOR ahead IN 0 .. months - 1 LOOP
        month := date_trunc('month', first AT TIME ZONE 'UTC')::date + make_interval(months => ahead);
        name := 'auth_eventos_' || to_char(month, 'YYYY_MM');
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_eventos_default
             WHERE occurred_at >= (month::timestamp AT TIME ZONE 'UTC')
               AND occurred_at < ((month + interval '1 month')::timestamp AT TIME ZONE 'UTC')
        ) THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF auth_eventos FOR VALUES FROM (%L) TO (%L)', name,
                month::timestamp AT TIME ZONE 'UTC',
                (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

CREATE TABLE public.auth_clients (
    client_id text NOT NULL,
    tenant_id uuid,
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_mac bytea,
    jwks jsonb,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT auth_clients_check CHECK (((secret_mac IS NOT NULL) OR (jwks IS NOT NULL))),
    CONSTRAINT auth_clients_client_id_check CHECK ((client_id ~ '^[A-Za-z0-9_-]{3,80}$'::text)),
    CONSTRAINT auth_clients_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT auth_clients_secret_mac_check CHECK ((octet_length(secret_mac) = 32))
);

CREATE TABLE public.auth_devices (
    device_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
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
    CONSTRAINT auth_families_generation_check CHECK ((generation >= 1)),
    CONSTRAINT auth_families_handle_hash_check CHECK ((octet_length(handle_hash) = 32)),
    CONSTRAINT auth_families_status_check CHECK ((status = ANY (ARRAY['live'::text, 'ended'::text, 'burned'::text]))),
    CONSTRAINT auth_families_token_hash_check CHECK ((octet_length(token_hash) = 32))
)
WITH (fillfactor='70');

CREATE TABLE public.auth_lockouts (
    subject_id uuid NOT NULL,
    device_id uuid NOT NULL,
    attempts timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    locked_until timestamp with time zone,
    touched_at timestamp with time zone NOT NULL,
    CONSTRAINT auth_lockouts_attempts_check CHECK ((cardinality(attempts) <= 100))
)
WITH (fillfactor='70');

CREATE TABLE public.auth_memberships (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone NOT NULL,
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
    CONSTRAINT auth_users_email_check CHECK (((char_length(email) >= 3) AND (char_length(email) <= 320))),
    CONSTRAINT auth_users_name_check CHECK ((char_length(name) <= 200)),
    CONSTRAINT auth_users_password_hash_check CHECK ((octet_length(password_hash) <= 512))
);

ALTER TABLE ONLY public.auth_eventos ATTACH PARTITION public.auth_eventos_default DEFAULT;

ALTER TABLE ONLY public.auth_clients
    ADD CONSTRAINT auth_clients_pkey PRIMARY KEY (client_id);

ALTER TABLE ONLY public.auth_devices
    ADD CONSTRAINT auth_devices_pkey PRIMARY KEY (device_id);

ALTER TABLE ONLY public.auth_eventos
    ADD CONSTRAINT auth_eventos_pkey PRIMARY KEY (occurred_at, event_id);

ALTER TABLE ONLY public.auth_eventos_default
    ADD CONSTRAINT auth_eventos_default_pkey PRIMARY KEY (occurred_at, event_id);

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_pkey PRIMARY KEY (handle_hash);

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_session_id_key UNIQUE (session_id);

ALTER TABLE ONLY public.auth_lockouts
    ADD CONSTRAINT auth_lockouts_pkey PRIMARY KEY (subject_id, device_id);

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_pkey PRIMARY KEY (user_id, tenant_id);

ALTER TABLE ONLY public.auth_organizations
    ADD CONSTRAINT auth_organizations_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.auth_organizations
    ADD CONSTRAINT auth_organizations_slug_key UNIQUE (slug);

ALTER TABLE ONLY public.auth_revocation_head
    ADD CONSTRAINT auth_revocation_head_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.auth_revocations
    ADD CONSTRAINT auth_revocations_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.auth_root
    ADD CONSTRAINT auth_root_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY public.auth_signing_keys
    ADD CONSTRAINT auth_signing_keys_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY public.auth_users
    ADD CONSTRAINT auth_users_email_key UNIQUE (email);

ALTER TABLE ONLY public.auth_users
    ADD CONSTRAINT auth_users_pkey PRIMARY KEY (user_id);

CREATE INDEX auth_clients_tenant ON public.auth_clients USING btree (tenant_id, client_id);

CREATE INDEX auth_devices_user ON public.auth_devices USING btree (user_id, used_at);

CREATE INDEX auth_eventos_tenant ON ONLY public.auth_eventos USING btree (tenant_id, event_id);

CREATE INDEX auth_eventos_default_tenant_id_event_id_idx ON public.auth_eventos_default USING btree (tenant_id, event_id);

CREATE INDEX auth_eventos_user ON ONLY public.auth_eventos USING btree (user_id, event_id);

CREATE INDEX auth_eventos_default_user_id_event_id_idx ON public.auth_eventos_default USING btree (user_id, event_id);

CREATE INDEX auth_lockouts_touched ON public.auth_lockouts USING btree (touched_at);

CREATE INDEX auth_memberships_tenant ON public.auth_memberships USING btree (tenant_id, user_id);

CREATE INDEX auth_revocations_expiry ON public.auth_revocations USING btree (expires_at);

CREATE INDEX auth_revocations_what ON public.auth_revocations USING btree (kind, value);

CREATE INDEX auth_sessions_expiry ON public.auth_sessions USING btree (expires_at);

CREATE INDEX auth_sessions_tenant ON public.auth_sessions USING btree (tenant_id) WHERE (ended_at IS NULL);

CREATE INDEX auth_sessions_user ON public.auth_sessions USING btree (user_id, session_id) WHERE (ended_at IS NULL);

CREATE INDEX auth_users_scheme ON public.auth_users USING btree (password_scheme);

ALTER INDEX public.auth_eventos_pkey ATTACH PARTITION public.auth_eventos_default_pkey;

ALTER INDEX public.auth_eventos_tenant ATTACH PARTITION public.auth_eventos_default_tenant_id_event_id_idx;

ALTER INDEX public.auth_eventos_user ATTACH PARTITION public.auth_eventos_default_user_id_event_id_idx;

ALTER TABLE ONLY public.auth_clients
    ADD CONSTRAINT auth_clients_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_devices
    ADD CONSTRAINT auth_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_families
    ADD CONSTRAINT auth_families_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.auth_sessions(session_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_memberships
    ADD CONSTRAINT auth_memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.auth_organizations(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_sessions
    ADD CONSTRAINT auth_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.auth_users(user_id) ON DELETE CASCADE;
