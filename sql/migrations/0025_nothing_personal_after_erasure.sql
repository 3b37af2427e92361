-- What a person did when they were being erased is recorded without address and agent: also by an act
-- that began before and ends after, and whichever act it is.

-- An erasure waits for acts of that person that have recorded something and not ended; acts that come
-- later wait for the erasure, and then see it.  Whoever acts on others does so from an address of their
-- own: that goes when they themselves are erased.
CREATE FUNCTION auth_eventos_of_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    person text := CASE WHEN NEW.actor_kind = 'user' THEN NEW.actor_id ELSE NEW.user_id::text END;
BEGIN
    IF person IS NULL OR (NEW.ip IS NULL AND NEW.user_agent = '') THEN
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(auth_eventos_person(person));
    -- A statement of its own: it sees what was committed while the lock was waited for.
    IF EXISTS (SELECT FROM auth_users WHERE user_id = person::uuid AND erased_at IS NOT NULL) THEN
        NEW.ip := NULL;
        NEW.user_agent := '';
        NEW.detail := NEW.detail - ARRAY['address', 'email', 'name', 'network_before', 'network_now'];
    END IF;
    RETURN NEW;
END $$;

-- The number of a person's lock, which 1 of 256 have in common: a transaction that records many people
-- holds no more than so many.  Advisory locks are shared by all schemas of a database.
CREATE FUNCTION auth_eventos_person(person text) RETURNS bigint
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT hashtextextended(current_schema() || ' events of ' || (hashtext(person) & 255), 0)
$$;

CREATE TRIGGER auth_eventos_of_erased BEFORE INSERT ON auth_eventos
    FOR EACH ROW EXECUTE FUNCTION auth_eventos_of_erased();

CREATE OR REPLACE FUNCTION auth_eventos_erase(person uuid, personal_keys text[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION auth_eventos_erase SET search_path = %I, pg_temp', current_schema());
END $$;
