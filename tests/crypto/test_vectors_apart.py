"""The vectors of keys, locations, suppliers, groups, pieces and delegates, read by what docs/protocol.md says alone.

Nothing of Privity's is imported here: what is read is JSON, SHA-256, HMAC, Ed25519, and Merkle trees of RFC 9162.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(__file__).parents[1] / "vectors"
Case = dict[str, Any]


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b32(data: bytes) -> str:
    return base64.b32encode(data).rstrip(b"=").decode().lower()


def H(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def lp(*parts: str | bytes | int) -> bytes:
    found = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in found)


def tree(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, as it stands there."""
    if not leaves:
        return H(b"")
    if len(leaves) == 1:
        return H(b"\0" + leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return H(b"\1" + tree(leaves[:half]) + tree(leaves[half:]))


def is_signed(public: str, signature: str, label: str, *parts: str | bytes | int) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(raw(public)).verify(raw(signature), lp(label, *parts))
    except InvalidSignature:
        return False
    return True


def cases(file: str, *asks: str) -> list[Case]:
    found = json.loads((FOLDER / f"{file}.json").read_text())["cases"]
    return [case for case in found if case["ask"] in asks]


def good(file: str, ask: str) -> Iterator[tuple[Case, Any]]:
    for case in cases(file, ask):
        if "answer" in case:
            yield case["given"], case["answer"]


LABELS = {
    ("sharing_keys", "key-record"): "privity/v1/sharing-key",
    ("location_lines", "location-change"): "privity/v1/location/change",
    ("groups", "group-epoch"): "privity/v1/group/epoch",
    ("groups", "group-post"): "privity/v1/group/post",
    ("pieces", "piece"): "privity/v1/piece",
    ("delegates", "item-version"): "privity/v1/item/version",
    ("delegates", "instruction"): "privity/v1/instruction",
}


@pytest.mark.parametrize(("place", "label"), LABELS.items(), ids=["-".join(each) for each in LABELS])
def test_a_record_is_canonical_json_that_is_signed_whole(place: tuple[str, str], label: str) -> None:
    found = cases(*place)
    for case in found:
        given = case["given"]
        record = raw(given.get("record") or given["manifest"])
        if "answer" in case:
            again = json.dumps(json.loads(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert again.encode() == record
        if "answer" in case or case["name"].startswith("rightly signed"):
            assert is_signed(given["public"], given["signature"], label, record)
        elif case["error"] == "ForgedRecord" and "by " in case["name"]:
            assert not is_signed(given["public"], given["signature"], label, record)
    assert {"answer" in case for case in found} == {True, False}


def test_the_steps_of_a_delegation_have_a_label_for_each_kind() -> None:
    for given, answer in good("delegates", "delegation-step"):
        label = "privity/v1/delegation/" + ("grant" if "delegate" in answer else "removal")
        assert is_signed(given["public"], given["signature"], label, raw(given["record"]))


def test_ids_are_hashes() -> None:
    for given, answer in good("sharing_keys", "key-id"):
        assert b32(H(lp("privity/v1/sharing-key/id", given["creator"], raw(given["nonce"])))) == answer
    for given, answer in good("groups", "group-id"):
        assert b32(H(lp("privity/v1/group", given["creator"], raw(given["nonce"])))) == answer
    for given, answer in good("key_audits", "grant-id"):
        parts = given["key"], given["to"], given["connection"]
        assert b32(H(lp("privity/v1/sharing-key/grant-id", *parts))[:16]) == answer
    for given, answer in good("pieces", "piece-id"):
        assert b32(H(lp("privity/v1/piece/id", given["owner"], given["name"]))[:16]) == answer
    for given, answer in good("pieces", "piece-request-id"):
        parts = given["owner"], given["asker"], given["name"]
        assert b32(H(lp("privity/v1/piece/request-id", *parts))[:16]) == answer
    for given, answer in good("suppliers", "supplier-id"):
        assert b32(H(lp("privity/v1/supplier", raw(given["public"])))) == answer
    for given, answer in good("suppliers", "supplier-device"):
        assert b32(H(lp("privity/v1/supplier/device", given["supplier"]))[:16]) == answer


def test_a_record_names_what_it_is_about_by_hashes() -> None:
    for _, said in good("sharing_keys", "key-record"):
        assert b32(H(lp("privity/v1/sharing-key/id", said["by"], raw(said["nonce"])))) == said["key"]
        named = said["key"], said["generation"], said["suite"]
        public = H(lp("privity/v1/sharing-key/public", *named, raw(said["seal"]), raw(said["sign"])))
        assert b64(public) == said["public_digest"]
        assert said["fingerprint"].replace(" ", "") == public.hex()[:30]
        alias = H(lp("privity/v1/sharing-key/alias", said["key"], b"S" * 16, "holiday"))
        assert b64(alias) == said["alias"]
    for given, answer in good("delegates", "vault-key-hash"):
        parts = given["principal"], given["generation"], raw(given["key"])
        assert b64(H(lp("privity/v1/vault/key", *parts))) == answer
    for given, answer in good("key_audits", "identity-held"):
        parts = given["account"], raw(given["sign"]), raw(given["seal"])
        assert b64(H(lp("privity/v1/key-audit/held", *parts))) == answer
    for given, answer in good("groups", "group-commitment"):
        parts = given["group"], given["key"], raw(given["space_key"])
        assert b64(H(lp("privity/v1/group/key", *parts))) == answer


def test_roots_are_trees_over_leaves_in_their_order() -> None:
    for given, answer in good("groups", "group-members"):
        members = sorted(given["members"], key=lambda each: each["account"])
        names = ("account", "role", "head", "seal")
        leaves = [lp("privity/v1/group/member", *(each[name] for name in names)) for each in members]
        assert b64(tree(leaves)) == answer
    for given, answer in good("groups", "group-wraps"):
        wraps = sorted(given["wraps"].items())
        assert b64(tree([lp("privity/v1/group/wrapped", *each) for each in wraps])) == answer
    for given, answer in good("fragments", "slot-root"):
        assert b64(tree([raw(each) for each in given["fragments"]])) == answer
    for _, answer in good("fragments", "fragments"):
        assert [b64(tree([raw(each)])) for each in answer["fragments"]] == answer["roots"]


def test_the_first_fragments_are_cut_from_the_segment_and_the_others_are_as_long() -> None:
    for given, answer in good("fragments", "fragments"):
        sealed, needed = raw(given["sealed"]), given["needed"]
        assert b"".join(map(raw, answer["fragments"][:needed])) == sealed
        assert len({len(raw(each)) for each in answer["fragments"]}) == 1
        assert len(answer["fragments"]) == given["slots"]


def test_sizes_are_padded_by_padme_from_four_kib_on() -> None:
    for _, answer in good("fragments", "coding"):
        for size, (padded, segments) in answer["sizes"].items():
            length = max(int(size), 4096)
            exponent = length.bit_length() - 1
            step = 1 << exponent - exponent.bit_length()
            assert padded == -(-length // step) * step
            assert segments == -(-padded // answer["capacity"])


def _wish(given: Case) -> list[str | bytes | int]:
    said = given["wish"]
    named = [said["operation"], said["key"], said["object"] or "", said["account"] or "", said["segments"]]
    return [raw(said["supplier"]), *named, raw(said["root"]), raw(said["nonce"])]


def test_proofs_and_orders_are_signed_over_all_that_is_wished() -> None:
    for case in cases("suppliers", "supplier-proof"):
        given = case["given"]
        both = (
            is_signed(given["part"], given["by_key"], "privity/v1/supplier/by-key", *_wish(given)),
            is_signed(given["identity"], given["by_identity"], "privity/v1/supplier/by-identity", *_wish(given)),
        )
        assert all(both) is ("answer" in case), case["name"]
    for case in cases("suppliers", "supplier-order"):
        given = case["given"]
        signed = is_signed(given["log"], given["order"], "privity/v1/supplier/order", *_wish(given))
        assert signed is ("answer" in case), case["name"]
    for case in cases("suppliers", "supplier-replaces"):
        given = case["given"]
        parts = given["lost"], given["supplier"]
        assert is_signed(given["log"], given["order"], "privity/v1/supplier/replaces", *parts) is ("answer" in case)
    for given, answer in good("suppliers", "storage-proof"):
        said = lp("privity/v1/supplier/storage") + raw(given["fragment"])
        assert b64(hmac.digest(raw(given["nonce"]), said, "sha256")) == answer


def test_a_request_is_a_frame_of_json_with_a_fragment_behind() -> None:
    for given, answer in good("suppliers", "supplier-request"):
        data = raw(given["data"])
        assert data[:4] == b"PVC1"
        parts, at = [], 4
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at + 4 : at + 4 + length])
            at += 4 + length
        head = json.loads(parts[0])
        assert {name: value for name, value in head.items() if name in answer}.items() <= answer.items()
        assert sum(map(len, parts[1:])) == answer["behind"]


AUDIT = ("audit", "asker", "of", "connection", "key", "kind", "generation", "nonce")


def test_audits_are_signed_over_their_place_and_proven_by_a_mac() -> None:
    for case in cases("key_audits", "audit"):
        given = case["given"]
        place = [given["place"][name] for name in AUDIT]
        signed = is_signed(given["public"], given["signature"], "privity/v1/key-audit/ask", *place, given["challenge"])
        assert signed is ("answer" in case), case["name"]
    for case in cases("key_audits", "audit-answer"):
        given = case["given"]
        said = [given["said"][name] or "" for name in ("verdict", "held", "answer")]
        place = [given["place"][name] for name in AUDIT]
        signed = is_signed(given["public"], given["signature"], "privity/v1/key-audit/answered", *place, *said)
        assert signed is ("answer" in case), case["name"]
    for given, answer in good("key_audits", "audit-challenge"):
        place = [given["place"][name] for name in AUDIT]
        info = lp("privity/v1/key-audit/secret", *place)
        assert b64(HKDF(hashes.SHA256(), 32, None, info).derive(b"K" * 32)) == answer


PLACES: dict[str, tuple[str, ...]] = {
    "piece-grant": ("owner", "piece", "name", "generation", "reader", "connection", "key"),
    "piece-request": ("request", "n", "owner", "asker", "name", "connection"),
}


def test_grants_and_requests_of_pieces_are_signed_over_their_place() -> None:
    sealed = {"piece-grant": "wrap", "piece-request": "challenge"}
    for ask, names in PLACES.items():
        for case in cases("pieces", ask):
            given = case["given"]
            place = [given["place"][name] for name in names]
            behind = b64(H(raw(given[sealed[ask]])))
            label = f"privity/v1/{ask.replace('-', '/')}"
            assert is_signed(given["public"], given["signature"], label, *place, behind) is ("answer" in case)
    for case in cases("pieces", "piece-answer"):
        given = case["given"]
        place = [given["place"][name] for name in PLACES["piece-request"]]
        granted = [given["granted"][name] for name in ("version", "generation", "content", "wrap")]
        mac = hmac.digest(raw(given["challenge"]), lp("privity/v1/piece/answer", *place, *granted), "sha256")
        assert (b64(mac) == given["answer"]) is ("answer" in case), case["name"]


def test_a_change_of_a_location_names_body_objects_and_the_change_before() -> None:
    before = None
    for given, answer in good("location_lines", "location-change"):
        said, data = answer["manifest"], raw(given["manifest"])
        assert said["prev"] == before
        assert said["body"] == b64(H(raw(given["body"])))
        objects = {"objects": given["objects"], "released": given["released"]}
        text = json.dumps(objects, sort_keys=True, separators=(",", ":"))
        assert said["objects"] == b64(H(lp("privity/v1/location/objects", text)))
        before = b64(H(data))


def test_a_sealed_file_has_a_header_and_segments_behind_their_lengths() -> None:
    for given, answer in good("key_files", "key-file"):
        data = raw(given["file"])
        assert data[:4] == b"PVF1"
        length = int.from_bytes(data[4:8], "big")
        header = json.loads(data[8 : 8 + length])
        assert (header["key"], header["generation"], header["v"]) == (answer["key"], answer["generation"], 1)
        at, segments = 8 + length, 0
        while at < len(data):
            at, segments = at + 4 + int.from_bytes(data[at : at + 4], "big"), segments + 1
        assert (at, segments) == (len(data), 1)


def test_a_backups_place_follows_from_the_kek() -> None:
    def derived(secret: bytes, count: int, info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), count, None, info).derive(secret)

    for given, answer in good("sharing_keys", "backup-place"):
        own = derived(raw(given["kek"]), 32, b"privity/v1/sharing-key/backup")
        place = derived(own, 80, lp("privity/v1/sharing-key/backup-place", given["account"]))
        assert (b64(place[:64]), b64(place[64:])) == (answer["part"], answer["nonce"])
        assert b32(H(lp("privity/v1/sharing-key/id", given["account"], place[64:]))) == answer["key"]


def test_nothing_of_privity_is_needed() -> None:
    imported = re.findall(r"^(?:from|import) (\w+)", Path(__file__).read_text(), re.MULTILINE)
    assert not {"privity", "infra", "domain", "tests"} & set(imported)
