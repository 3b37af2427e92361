-- Whoever holds the service's password may erase a person; what of an event is personal is not theirs
-- to say, or they could take anything out of it.

CREATE OR REPLACE FUNCTION auth_eventos_erase(person uuid, personal_keys text[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT personal_keys <@ ARRAY['address', 'email', 'name', 'network_before', 'network_now'] THEN
        RAISE EXCEPTION 'not personal: %', personal_keys;
    END IF;
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

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION auth_eventos_erase SET search_path = %I, pg_temp', current_schema());
END $$;
