-- What runs as its owner looks for nothing in the caller's temporary schema, which comes before all
-- others unless it is named: whoever may make a view there would have code of their own run in the
-- owner's name, and the service's role could do what it must not.

DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT p.oid::regprocedure AS name
          FROM pg_proc p
         WHERE p.pronamespace = current_schema()::regnamespace
           AND p.prosecdef
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', item.name, current_schema());
    END LOOP;
END $$;
