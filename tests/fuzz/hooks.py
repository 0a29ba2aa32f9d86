"""What Schemathesis (tests/fuzz.sh) cannot make up from the OpenAPI document:
who asks, and the names of what there is.

FUZZ_AS=stranger leaves every request as it was generated. FUZZ_AS=signer puts
the client's credentials on each. So does FUZZ_AS=client, and of three requests
it leaves one as it was, tells another the names of what exists, and makes the
third one that is granted, so that not all ends at the gate. The answers are
counted into FUZZ_TALLY.
"""

import atexit
import base64
import itertools
import json
import os
import random
import struct
import time
import zlib
from collections import Counter
from datetime import datetime, timezone

import requests
import schemathesis

CREDENTIALS = ("client_id", "client_secret", "client_assertion", "client_assertion_type")

env = os.environ
session = requests.Session()
session.trust_env = False
session.verify = env["EDGE_CA"]
with open(env["FACE_FILE"]) as file:
    face = json.load(file)
tally = Counter()
bearer = {"token": None, "since": 0.0}
opened = {}
numbers = itertools.count()


def token():
    answer = session.post(
        env["EDGE_URL"] + "/oauth2/token",
        auth=(env["CLIENT_ID"], env["CLIENT_SECRET"]),
        data={"grant_type": "client_credentials"},
    )
    answer.raise_for_status()
    return answer.json()["access_token"]


def living_token():
    # It lives 600 s.
    if bearer["token"] is None or time.monotonic() - bearer["since"] > 300:
        bearer.update(token=token(), since=time.monotonic())
    return bearer["token"]


def picture():
    """Another picture of the resident: one seen before is taken for a capture."""
    noise = random.Random(next(numbers))
    return [value + noise.gauss(0, 0.002) for value in face]


def packed(vector):
    return base64.urlsafe_b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode().rstrip("=")


def now():
    return datetime.now(timezone.utc).isoformat()


def granted(operation, number):
    """A body that is taken."""
    if operation == "issueToken":
        evidence = [
            {},
            {"plate": env["PLATE"]},
            {"face_model": env["FACE_MODEL"], "face_vector": packed(picture())},
        ]
        return {"grant_type": "client_credentials"} | evidence[number % 3]
    if operation in ("introspectToken", "revokeToken"):
        return {"token": token()}
    if operation == "openDoor":
        return {"face": {"model": env["FACE_MODEL"], "vector": picture()}}
    if operation == "openBarrier":
        return {"plate": {"number": env["PLATE"]}}
    if operation == "recordKeyOpenings":
        return {"key_id": env["KEY_ID"], "opened_at": now(), "device_id": env["DOOR_ID"]}
    if operation == "recordFobOpenings":
        return {"fob_id": env["FOB_ID"], "opened_at": now(), "device_id": env["BARRIER_ID"]}
    assert operation == "recordCommandResults", operation
    return opened | {"status": "opened", "at": now()}


def by_name(operation, case):
    """The same request about what exists."""
    device = {"openDoor": env["DOOR_ID"], "openBarrier": env["BARRIER_ID"]}.get(operation)
    if device:
        case.path_parameters["device_id"] = device
    if operation == "getOpening" and opened:
        case.path_parameters["opening_id"] = opened["opening_id"]
    if case.path.startswith("/oauth2/") and isinstance(case.body, dict):
        # Besides the Authorization header they would be a second way.
        case.body = {name: value for name, value in case.body.items() if name not in CREDENTIALS}


@schemathesis.hook
def before_call(context, case, kwargs):
    if env["FUZZ_AS"] == "stranger":
        return
    if case.path.startswith("/oauth2/"):
        pair = f"{env['CLIENT_ID']}:{env['CLIENT_SECRET']}".encode()
        case.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    elif case.path.startswith("/v1/"):
        case.headers["Authorization"] = "Bearer " + living_token()
    if env["FUZZ_AS"] == "signer":
        return
    # Of a client without a signing secret they are not looked at.
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        case.headers.pop(name, None)
    if case.path.startswith("/oauth2/") and isinstance(case.body, dict):
        # One without a value counts as absent, which no schema can say.
        case.body = {name: value for name, value in case.body.items() if value != ""}
    operation = case.operation.definition.raw["operationId"]
    # Of the request itself, so that one asked again is treated alike.
    number = zlib.crc32(repr((operation, case.path_parameters, case.body)).encode())
    if number % 3 > 0:
        by_name(operation, case)
    if number % 3 == 2 and isinstance(case.body, (dict, list)):
        case.body = granted(operation, number // 3)


@schemathesis.hook
def after_call(context, case, response):
    tally[case.operation.label, response.status_code] += 1
    if response.status_code == 200 and case.path.startswith(("/v1/doors/", "/v1/barriers/")):
        answer = response.json()
        opened.update(opening_id=answer["opening_id"], command_id=answer["command"]["id"])


@atexit.register
def tell():
    counts = {}
    for (label, status), count in sorted(tally.items()):
        counts.setdefault(label, {})[status] = count
    with open(env["FUZZ_TALLY"], "w") as file:
        json.dump(counts, file)
