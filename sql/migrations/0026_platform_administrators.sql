-- Who administers the platform, among very many people: an act that takes their way in looks for another.

CREATE INDEX auth_users_platform_admins ON auth_users (user_id) WHERE platform_admin;
