-- What a person did when they were being erased is recorded without address and agent: also by an act
-- that began before and ends after, and whichever act it is.

-- An erasure waits for acts of that person that have recorded something and not ended; acts that come
-- later wait for the erasure, and then see it.  Whoever acts on others does so from an address of their
-- own: that goes when they themselves are erased.
--
-- This lock comes after all rows of an act and of an erasure.  Only the counter of the revocations comes
-- later.  An act that took a row after it recorded something could wait in a circle.
--
-- The lock's number is that of auth_eventos_person.  It stands here a second time because a function
-- with a search path of its own is not inlined, and every event would pay for the call.
CREATE FUNCTION auth_eventos_of_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

-- A person's lock number.  There are 256, so people share them.  A transaction that records events of
-- many people holds at most 256 locks.  Advisory locks are shared by all schemas of a database.
CREATE FUNCTION auth_eventos_person(person text) RETURNS bigint
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT hashtextextended(current_schema() || ' events of ' || (hashtext(person) & 255), 0)
$$;

CREATE TRIGGER auth_eventos_of_erased BEFORE INSERT ON auth_eventos
    FOR EACH ROW
    WHEN ((NEW.ip IS NOT NULL OR NEW.user_agent <> '')
          AND CASE WHEN NEW.actor_kind = 'user' THEN NEW.actor_id IS NOT NULL
                   ELSE NEW.user_id IS NOT NULL END)
    EXECUTE FUNCTION auth_eventos_of_erased();

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
