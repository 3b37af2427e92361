-- Whoever may add a checkpoint could say that retention has come further than it has: what is signed
-- of a seal that is still there stays.

-- Drops the checkpoints of places that are not there any longer, signed before `before`; returns how
-- many.  The newest retention checkpoint of a chain, where verification begins, stays; so does what
-- is younger than 80 days, whoever asks.
CREATE OR REPLACE FUNCTION auth_checkpoints_drop(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
