"""Authlib gets access tokens from the edge, joserfc validates them."""

import json
import os
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

SCOPE = "door:open"


@contextmanager
def step(name):
    try:
        yield
    except Exception as error:
        sys.exit(f"oauth-python: {name}: {type(error).__name__}: {' '.join(str(error).split())}")


def session(client_id=None, secret=None, method=None):
    made = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, default_timeout=10)
    # REQUESTS_CA_BUNDLE would otherwise take the place of verify.
    made.trust_env = False
    made.verify = os.environ["EDGE_CA"]
    return made


def get_json(url):
    response = session().get(url, withhold_token=True)
    response.raise_for_status()
    return response.json()


def discover(issuer):
    metadata = AuthorizationServerMetadata(get_json(get_well_known_url(issuer, external=True)))
    # Authlib wants a response type, and a server of this one grant has none.
    for key in set(metadata.REGISTRY_KEYS) - {"response_types_supported"}:
        getattr(metadata, f"validate_{key}")()
    if metadata.issuer != issuer:
        raise ValueError(f"issuer is {metadata.issuer}")
    return metadata


def fetch(client, metadata):
    token = client.fetch_token(metadata.token_endpoint, grant_type="client_credentials", scope=SCOPE)
    return token["access_token"]


def validate(token, keys, issuer, client_id):
    token = jwt.decode(token, keys, algorithms=["ES256"])
    if token.header.get("typ") != "at+jwt":
        raise ValueError(f"typ is {token.header.get('typ')}")
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": issuer},
        exp={"essential": True},
        client_id={"essential": True, "value": client_id},
        scope={"essential": True},
    ).validate(token.claims)
    if SCOPE not in token.claims["scope"].split():
        raise ValueError(f"scope is {token.claims['scope']}")


def main():
    with step("environment"):
        issuer, _, client_id, secret = (
            os.environ[name] for name in ("EDGE_URL", "EDGE_CA", "CLIENT_ID", "CLIENT_SECRET")
        )
        jwt_client_id = os.environ.get("JWT_CLIENT_ID")
    with step("discovery"):
        metadata = discover(issuer)
    with step("jwks"):
        keys = KeySet.import_key_set(get_json(metadata.jwks_uri))

    for method in ("client_secret_basic", "client_secret_post"):
        with step(method):
            validate(fetch(session(client_id, secret, method), metadata), keys, issuer, client_id)
        with step(f"{method} with a wrong secret"):
            try:
                fetch(session(client_id, f"{secret}x", method), metadata)
            except OAuthError as error:
                if error.error != "invalid_client":
                    raise
            else:
                raise ValueError("a token was issued")

    if jwt_client_id:
        with step("private_key_jwt"):
            key = ECKey.import_key(Path(os.environ["JWT_KEY"]).read_bytes())
            client = session(jwt_client_id, key, "private_key_jwt")
            client.register_client_auth_method(
                PrivateKeyJWT(
                    metadata.token_endpoint,
                    # Authlib's own hour is longer than the server takes.
                    claims={"exp": int(time.time()) + 60},
                    headers={"kid": os.environ["JWT_KID"]},
                    alg="ES256",
                )
            )
            validate(fetch(client, metadata), keys, issuer, jwt_client_id)

    print(
        json.dumps(
            {
                "library": f"Authlib {version('Authlib')}",
                "secret": True,
                "private_key_jwt": bool(jwt_client_id),
                "validated_by": f"joserfc {version('joserfc')}",
            }
        )
    )


main()
