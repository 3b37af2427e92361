"""An authorization server of Authlib's, as its guide for Flask builds one, on PostgreSQL.

Runs in the peers' own virtual environment.  Access tokens are JWTs after RFC 9068 (ES256); refresh
tokens are rows, the old one revoked at each use.
"""

import os
import secrets
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response, jsonify
from flask_sqlalchemy import SQLAlchemy
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import Column, Integer, String

app = Flask(__name__)
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["PEER_DATABASE_URL"].replace(
        "postgresql://", "postgresql+psycopg://"
    ),
    SQLALCHEMY_ENGINE_OPTIONS={"pool_size": 16},
)
os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")  # on loopback
db = SQLAlchemy(app)
KEY = ECKey.import_key(os.environ["PEER_EC"], {"use": "sig", "alg": "ES256", "kid": "bench"})
ISSUER = f"http://localhost:{os.environ['PEER_PORT']}"


class User(db.Model):  # type: ignore[name-defined, misc]
    """A person."""

    __tablename__ = "peer_user"
    id = Column(Integer, primary_key=True)
    email = Column(String(80))

    def get_user_id(self) -> int:
        """Return the id, as Authlib asks for it."""
        return self.id


class Client(db.Model, OAuth2ClientMixin):  # type: ignore[name-defined, misc]
    """A client."""

    __tablename__ = "peer_client"
    id = Column(Integer, primary_key=True)


class Token(db.Model, OAuth2TokenMixin):  # type: ignore[name-defined, misc]
    """A token."""

    __tablename__ = "peer_token"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer)
    access_token = Column(String(2000), unique=True, nullable=False)  # a JWT is longer than theirs

    def get_user(self) -> User | None:
        """Return whose it is."""
        return db.session.get(User, self.user_id) if self.user_id else None


class Generator(JWTBearerTokenGenerator):  # type: ignore[misc]
    """JWTs, and refresh tokens where a grant has them."""

    def __init__(self) -> None:
        super().__init__(
            issuer=ISSUER,
            alg="ES256",
            refresh_token_generator=lambda *_a, **_k: secrets.token_urlsafe(32),
        )

    def get_jwks(self) -> KeySet:
        """Return the keys."""
        return KeySet([KEY])


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]
    """Rotation: a new refresh token each time."""

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Find a refresh token that is good."""
        found = Token.query.filter_by(refresh_token=refresh_token).first()
        return found if found and not found.refresh_token_revoked_at else None

    def authenticate_user(self, refresh_token: Token) -> User | None:
        """Find whose it is."""
        return refresh_token.get_user()

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Revoke what was used."""
        refresh_token.refresh_token_revoked_at = int(time.time())
        db.session.add(refresh_token)
        db.session.commit()


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """Tokens are rows: one is looked up."""

    def query_token(self, token: str, _hint: str | None) -> Token | None:
        """Find a token."""
        return Token.query.filter_by(access_token=token).first()

    def introspect_token(self, token: Token) -> dict[str, object]:
        """Tell of it."""
        return {
            "active": not token.is_expired() and not token.is_revoked(),
            "client_id": token.client_id,
            "token_type": token.token_type,
            "sub": str(token.user_id),
            "scope": token.get_scope(),
            "exp": token.issued_at + token.expires_in,
            "iat": token.issued_at,
            "iss": ISSUER,
        }

    def check_permission(self, token: Token, client: Client, request: object) -> bool:  # noqa: ARG002
        """Any client may ask."""
        return True


class Validator(BearerTokenValidator):  # type: ignore[misc]
    """A bearer token is looked up, too."""

    def authenticate_token(self, token_string: str) -> Token | None:
        """Find it."""
        return Token.query.filter_by(access_token=token_string).first()


server = AuthorizationServer(
    app,
    query_client=create_query_client_func(db.session, Client),
    save_token=create_save_token_func(db.session, Token),
)
server.register_token_generator("default", Generator())
server.register_grant(grants.ClientCredentialsGrant)
server.register_grant(Refresh)
server.register_endpoint(Introspection)
require_oauth = ResourceProtector()
require_oauth.register_token_validator(Validator())
JWKS = {"keys": [KEY.as_dict(private=False)]}


@app.post("/token")
def token() -> Response:
    """Issue."""
    return server.create_token_response()


@app.post("/introspect")
def introspect() -> Response:
    """Introspect."""
    return server.create_endpoint_response(Introspection.ENDPOINT_NAME)


@app.get("/jwks")
def jwks() -> Response:
    """Return the keys."""
    return jsonify(JWKS)


@app.get("/me")
def me() -> Response:
    """Return who presents a token."""
    with require_oauth.acquire("api") as found:
        user = found.get_user()
        return jsonify(sub=str(user.id), email=user.email)


def seed(count: int) -> dict[str, object]:
    """Make a client, and people who have signed in."""
    people = []
    with app.app_context():
        db.create_all()
        client = Client(client_id="bench", client_secret="a-secret")
        client.set_client_metadata(
            {
                "grant_types": ["client_credentials", "refresh_token"],
                "scope": "api",
                "token_endpoint_auth_method": "client_secret_basic",
            }
        )
        db.session.add(client)
        for n in range(count):
            user = User(email=f"person-{n}@bench.example")
            db.session.add(user)
            db.session.flush()
            for refresh in (secrets.token_urlsafe(32), None):
                given = Token(
                    client_id="bench",
                    user_id=user.id,
                    token_type="Bearer",
                    access_token=secrets.token_urlsafe(32),
                    refresh_token=refresh,
                    scope="api",
                    expires_in=3600,
                )
                db.session.add(given)
                if refresh:
                    people.append({"refresh_token": refresh})
                else:
                    people[-1]["access_token"] = given.access_token
        db.session.commit()
    return {"client_id": "bench", "client_secret": "a-secret", "people": people}


if __name__ == "__main__":
    import _serving

    _serving.serve("authlib_server:app", "wsgi", seed)
