"""What was seen of a real server, 1 to 8: who is let in."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.ota.mender_api.rig import (
    NEXT,
    UNKNOWN,
    V1,
    V2,
    Console,
    Device,
    pem_of,
    sign,
    unique,
)

KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def test_01_pending_rejected_and_unknown_get_401(console: Console):
    device = Device(console.http, {"serial": unique("robot")})
    unknown = device.ask()
    pending = device.ask()
    device.id = console.find(device.identity)["id"]
    assert console.decide(device, "rejected") == 204
    for reply in (unknown, pending, device.ask()):
        assert reply.status_code == 401
        assert reply.json()["error"] == "dev auth: unauthorized"
    other = ec.generate_private_key(ec.SECP256R1())
    assert device.ask(signature=sign(other, device.question())).status_code == 401
    assert device.ask(signature="").status_code == 400


def test_02_identity_is_a_json_string_and_an_empty_one_is_a_device_of_no_identity(
    console: Console,
):
    device = Device(console.http, {})
    assert device.ask().status_code == 401
    key = pem_of(device.key).strip()
    rows = console.json("GET", f"{V2}/devauth/devices?status=pending&per_page=500")
    mine = [r for r in rows if any(a["pubkey"].strip() == key for a in r["auth_sets"])]
    assert [row["identity_data"] for row in mine] == [None]
    as_object = device.question(id_data={"serial": "1"})
    assert device.ask(as_object).status_code == 400
    console.call("DELETE", f"{V2}/devauth/devices/{mine[0]['id']}")


def test_03_the_answer_to_an_accepted_device_is_a_raw_jwt(console: Console):
    reply = console.device().ask()
    assert reply.status_code == 200
    assert reply.headers["content-type"].split(";")[0] == "application/jwt"
    assert reply.text.count(".") == 2
    assert not reply.text.startswith('"')


@pytest.mark.parametrize("kind", KEYS)
def test_04_rsa_ec_and_ed25519_work_and_a_bogus_tenant_token_is_ignored(
    console: Console, kind: str
):
    device = console.device(key=KEYS[kind]())
    assert device.ask(device.question(tenant_token="bogus")).status_code == 200


def test_05_a_revoked_device_gets_401_without_a_body(console: Console):
    device = console.device()
    assert device.poll().status_code == 204
    assert console.decide(device, "rejected") == 204
    reply = device.poll()
    assert (reply.status_code, reply.content) == (401, b"")


def test_06_a_second_key_rejects_the_first_and_goes_on_with_its_deployment(console: Console):
    device = console.device()
    deployment = console.deploy(console.artifact(), device)
    assert device.poll().json()["id"] == deployment
    second = Device(console.http, device.identity, id=device.id)
    assert second.ask().status_code == 401
    console.accept(second)
    assert device.poll().status_code == 401
    states = {a["pubkey"].strip(): a["status"] for a in console.row(device)["auth_sets"]}
    assert states == {
        pem_of(device.key).strip(): "rejected",
        pem_of(second.key).strip(): "accepted",
    }
    assert second.poll().json()["id"] == deployment


@pytest.mark.parametrize("verdict", ["rejected", "pending"])
def test_06_a_token_once_revoked_is_not_revived_by_accepting_again(console: Console, verdict: str):
    device = console.device()
    assert console.decide(device, verdict) == 204
    assert console.decide(device, "accepted") == 204
    assert device.poll().status_code == 401
    assert device.ask().status_code == 200
    assert device.poll().status_code == 204


def test_07_setting_the_status_of_an_authentication_set(console: Console):
    device, other = console.device(), console.device()
    auth = console.row(device)["auth_sets"][0]["id"]

    def put(device_id: str, auth_id: str, status: str) -> int:
        path = f"{V2}/devauth/devices/{device_id}/auth/{auth_id}/status"
        return console.call("PUT", path, json={"status": status}).status_code

    assert [put(device.id, auth, "accepted") for _ in range(2)] == [204, 204]
    assert put(device.id, auth, "welcome") == 400
    assert put(other.id, auth, "accepted") == 400
    assert put(device.id, UNKNOWN, "accepted") == 404


def test_08_device_lists_have_no_total_and_always_offer_a_next_page_after_a_full_one(
    console: Console,
):
    for _ in range(2):
        console.device(accepted=False)
    count = console.json("GET", f"{V2}/devauth/devices/count")["count"]
    last_and_full = console.call("GET", f"{V2}/devauth/devices?per_page=1&page={count}")
    beyond = console.call("GET", f"{V2}/devauth/devices?per_page=1&page={count + 1}")
    assert (len(last_and_full.json()), beyond.json()) == (1, [])
    assert 'rel="next"' in last_and_full.headers["link"]
    assert 'rel="next"' not in beyond.headers["link"]
    for reply in (last_and_full, beyond):
        assert "x-total-count" not in reply.headers
        assert 'rel="last"' not in reply.headers["link"]
    for query in ("per_page=501", "page=0"):
        assert console.call("GET", f"{V2}/devauth/devices?{query}").status_code == 400


def test_08_inventory_and_deployments_have_a_total_and_a_last_page(console: Console):
    console.deploy(console.artifact(), console.device())
    lists = [
        console.call("POST", f"{V2}/inventory/filters/search", json={"per_page": 1}),
        console.call("GET", f"{V1}/deployments/deployments?per_page=1"),
    ]
    for reply in lists:
        assert int(reply.headers["x-total-count"]) >= 1
        assert 'rel="last"' in reply.headers["link"]


def test_questions_that_are_none_are_refused(console: Console):
    """Not numbered: what the description says of 400."""
    device = Device(console.http, {"serial": unique("robot")})
    for body in (b"", b"{", b"[]", device.question(pubkey=None), device.question(pubkey="no key")):
        assert device.ask(body).status_code == 400


def test_without_a_token_nothing_is_told(console: Console):
    """Not numbered: what the description says of 401."""
    assert console.http.get(f"{V1}/deployments/deployments").status_code == 401
    assert console.http.get(NEXT).status_code == 401
    body = json.dumps({"status": "accepted"})
    assert console.http.post(f"{V1}/useradm/auth/login", content=body).status_code == 401
