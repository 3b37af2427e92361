-- A person's sessions are asked for whole, when they are exported or erased, and not the live ones alone:
-- without an index each of these reads the sessions of everybody.
DROP INDEX auth_sessions_user;
CREATE INDEX auth_sessions_user ON auth_sessions (user_id, session_id);
