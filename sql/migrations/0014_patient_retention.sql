-- Dropping a month waits for whoever writes there, and everybody waits behind it: two seconds.
ALTER FUNCTION auth_eventos_drop(timestamptz) SET lock_timeout = '2s';
