-- Least privilege: the role the service runs as owns nothing, drops nothing, and cannot change or
-- remove an event.  `tesserra-auth migrate --grant-to ROLE`, as the schema's owner, calls this after
-- every migration.

CREATE FUNCTION auth_grant_to(service name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
REVOKE ALL ON FUNCTION auth_grant_to(name) FROM PUBLIC;
