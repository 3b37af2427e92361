"""django-oauth-toolkit on PostgreSQL, under Granian (WSGI, as its project advises for Django).

Runs in the peers' own virtual environment.  Settings of production: DEBUG off, a connection pool,
refresh tokens rotated at each use.  The client's secret is stored in clear: by the toolkit's own
default it is hashed with PBKDF2, and every request of a client would cost a third of a second.
"""

import os
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings

_database = urlsplit(os.environ["PEER_DATABASE_URL"])
_OURS = {  # a worker imports this file twice
    "DEBUG": False,
    "SECRET_KEY": "of a server that lives for a minute",
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1"],
    "USE_TZ": True,
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "ROOT_URLCONF": "toolkit_server",
    "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    "MIDDLEWARE": [
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    "DATABASES": {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _database.path.lstrip("/"),
            "USER": _database.username,
            "PASSWORD": _database.password or "",
            "HOST": _database.hostname,
            "PORT": _database.port,
            "OPTIONS": {"pool": {"min_size": 2, "max_size": 16}},
        }
    },
    "OAUTH2_PROVIDER": {
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": os.environ["PEER_RSA"],
        "SCOPES": {"openid": "who", "api": "what", "introspection": "about tokens"},
        "ROTATE_REFRESH_TOKEN": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
        "REFRESH_TOKEN_EXPIRE_SECONDS": 86_400,
    },
}

if not settings.configured:
    settings.configure(**_OURS)

import django  # noqa: E402 - once it is configured

django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402

urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]
application = get_wsgi_application()


def seed(count: int) -> dict[str, object]:
    """Make a client, and people who have signed in."""
    from django.contrib.auth.models import User
    from oauth2_provider.models import AccessToken, Application, RefreshToken

    call_command("migrate", verbosity=0)
    client = Application.objects.create(
        name="bench",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        client_id="bench",
        client_secret="a-secret",
        hash_client_secret=False,
        algorithm="RS256",
    )
    web = Application.objects.create(
        name="web",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris="https://client.example/back",
        client_id="web",
        client_secret="a-secret",
        hash_client_secret=False,
        algorithm="RS256",
    )
    people = []
    later = timezone.now() + timedelta(hours=1)
    for n in range(count):
        user = User.objects.create(username=f"person-{n}", email=f"person-{n}@bench.example")
        access = AccessToken.objects.create(
            user=user,
            application=web,
            token=f"access-{n}-" + "x" * 30,
            expires=later,
            scope="openid api",
        )
        refresh = RefreshToken.objects.create(
            user=user, application=web, token=f"refresh-{n}-" + "x" * 30, access_token=access
        )
        shown = AccessToken.objects.create(
            user=user,
            application=web,
            token=f"shown-{n}-" + "x" * 30,
            expires=later,
            scope="openid api",
        )
        people.append({"access_token": shown.token, "refresh_token": refresh.token})
    return {"client_id": client.client_id, "client_secret": "a-secret", "people": people}


if __name__ == "__main__":
    import _serving

    _serving.serve("toolkit_server:application", "wsgi", seed)
