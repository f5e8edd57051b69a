"""S16: keys and encapsulations that are none, in every place where one comes in: refused, and nothing in part."""

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from privity.agent import accounts, connections, invitations, items, shares
from privity.agent.accounts import own
from privity.agent.connections import Broken
from privity.agent.profile import ProfileFolder
from privity.agent.session import Session
from privity.agent.shares import Share
from privity.crypto import identity, invitation, kem, labels, sharing
from privity.crypto.command import verify_command
from privity.crypto.identity import make_next
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import DoesNotOpen, Malformed, Refusal
from privity.messages.accounts import ChangePassphrase, ExtendIdentity, Kdf
from privity.messages.fields import SignedRecord
from privity.messages.keys import StoreKeypair
from privity.messages.views import AskKeys, KeyRow
from privity.testing.people import Person, connect
from tests.trials.proxy import Proxy

pytestmark = pytest.mark.trial

SMALL_ORDER = (
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
)
SOUND = {suite: generate_keypair(suite).public for suite in (Suite.X_WING, Suite.X25519)}
SOUND_RSA = generate_keypair(Suite.RSA)
SIGN_OF_SMALL_ORDER = b"\1" + bytes(31)
KDF = Kdf(64 * 1024, 3, 4)


def publics(suite: Suite) -> list[bytes]:
    """What is no public key of this suite."""
    sound = SOUND.get(suite, SOUND_RSA.public)
    found = [b"", b"\0", sound[:-1], sound + b"\0", secrets.token_bytes(31)]
    found += [other for of, other in SOUND.items() if of is not suite]
    match suite:
        case Suite.X25519:
            found += SMALL_ORDER
        case Suite.X_WING:
            found += [sound[:-32] + point for point in SMALL_ORDER]
            found += [b"\xff" * 1184 + sound[-32:]]  # coefficients that are not below q
        case Suite.RSA:
            found += [sound[:5] + bytes([sound[5] ^ 0x80]) + sound[6:], SOUND_RSA.private]
    return found


@pytest.mark.parametrize("suite", Suite)
async def test_s16_a_malformed_public_key_is_not_stored(ann: Person, suite: Suite) -> None:
    async with ann.session() as (session, _):
        for public in publics(suite):
            with pytest.raises(Malformed):
                await session.send(StoreKeypair(new_id(), str(suite), b64(public), digest(b"wrap")), b"wrap")
        assert (await session.ask(AskKeys(), KeyRow)).rows == ()
        sound = SOUND.get(suite, SOUND_RSA.public)
        await session.send(StoreKeypair(new_id(), str(suite), b64(sound), digest(b"wrap")), b"wrap")
        assert [row.public for row in (await session.ask(AskKeys(), KeyRow)).rows] == [b64(sound)]


async def test_s16_a_malformed_key_gets_into_no_identity_chain(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home refuses what an agent would never have made."""
    async with ann.session() as (session, keyring):
        row, head = await own(session)
        facts: dict[str, Any] = {
            "sign": keyring.identity.sign,
            "seal_public": head.seal,
            "seal_suite": head.seal_suite,
            "devices": head.devices,
            "reason": "test",
        }
        wrong: list[dict[str, Any]] = [{"seal_public": public} for public in publics(head.seal_suite)]
        wrong += [{"seal_suite": Suite.RSA}]
        wrong += [{"devices": {**head.devices, "b" * 26: key}} for key in (SIGN_OF_SMALL_ORDER, bytes(31), bytes(33))]
        for change in wrong:
            with monkeypatch.context() as patch:
                patch.setattr(identity, "extend", lambda *_: None)
                record = make_next(head, keyring.identity.sign, **(facts | change))
            with pytest.raises(Refusal, match="does not verify"):
                await session.send(extension(record.record, record.signatures))
        small = encode_record(json.loads(record.record) | {"sign": b64(SIGN_OF_SMALL_ORDER)})
        with pytest.raises(Refusal, match="does not verify"):
            await session.send(extension(small, (keyring.identity.sign.sign(labels.IDENTITY_BY_PREVIOUS, small),) * 2))
        assert (await own(session))[0].chain == row.chain
        sound = make_next(head, keyring.identity.sign, **facts)
        assert (await session.send(extension(sound.record, sound.signatures))).status == "accepted"


def extension(record: bytes, signatures: tuple[bytes, ...]) -> ExtendIdentity:
    return ExtendIdentity(SignedRecord(b64(record), tuple(b64(each) for each in signatures)))


async def test_s16_a_login_key_of_small_order_is_not_kept(ann: Person) -> None:
    """Under it one signature would be a proof for many nonces."""
    profile = ProfileFolder(ann.home).load()
    async with ann.session() as (session, keyring):
        for point in (SIGN_OF_SMALL_ORDER, bytes(32)):
            with pytest.raises(Malformed):
                await session.send(ChangePassphrase(b64(point), KDF, digest(b"wrap")), b"wrap")
        await accounts.change_passphrase(session, keyring, profile, "another")


def lenient(patch: pytest.MonkeyPatch) -> None:
    """A hostile agent checks none of what it makes."""
    for module in (invitation,):
        patch.setattr(module, "read_invitation", lambda record: Known(record))
        patch.setattr(module, "read_acceptance", lambda record: Known(record))


class Known:
    """A record of which only its id is looked at."""

    def __init__(self, record: bytes) -> None:
        self.inv = json.loads(record)["inv"]


@pytest.mark.parametrize("suite", [Suite.X_WING, Suite.X25519])
async def test_s16_nobody_invites_or_accepts_with_a_malformed_key(
    ann: Person, bob: Person, proxy: Proxy, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rightly certified by a hostile person, or served by a hostile home: it is refused on both sides."""
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address, suite=suite)
        _, me = await own(session)
        secret = unb64(made.link.partition("#")[2])
        offers = []
        with monkeypatch.context() as patch:
            lenient(patch)
            for public in publics(suite):
                offers.append(
                    invitation.make_invitation(
                        secret,
                        inv=made.invitation,
                        expires="2100-01-01T00:00:00+00:00",
                        home=session.server.home,
                        log_key=session.server.log_public,
                        account=me.account,
                        address=ann.address,
                        head=me.head,
                        public=public,
                        suite=suite,
                        gen=1,
                        identity=keyring.identity.sign,
                    )
                )
    for offer in offers:
        lie: Callable[[list[Any], Any], None] = lambda rows, _, said=offer: rows[0].update(  # noqa: E731
            record=b64(said.record), mac=b64(said.mac)
        )
        with proxy.lying("offer", lie):
            async with proxy.person(bob).session() as (session, keyring):
                with pytest.raises(Malformed):
                    await invitations.accept(session, keyring, made.link)
    assert proxy.commands == []
    async with bob.session() as (session, keyring):
        assert (await invitations.accept(session, keyring, made.link)).verified


ENCAPSULATIONS: dict[Suite, dict[str, Callable[[bytes, int], bytes]]] = {
    Suite.X_WING: {
        "no encapsulation": lambda blob, start: blob[:start],
        "cut": lambda blob, start: blob[: start + 1119],
        "zeros": lambda blob, start: blob[:start] + bytes(1120) + blob[start + 1120 :],
        "a point of small order": lambda blob, start: blob[: start + 1088] + bytes(32) + blob[start + 1120 :],
        "another's": lambda blob, start: blob[:start] + secrets.token_bytes(1120) + blob[start + 1120 :],
        "only an encapsulation": lambda blob, start: blob[: start + 1120],
    },
    Suite.X25519: {
        "no encapsulation": lambda blob, start: blob[:start],
        "cut": lambda blob, start: blob[: start + 31],
        **{
            f"point {n} of small order": lambda blob, start, point=point: blob[:start] + point + blob[start + 32 :]
            for n, point in enumerate(SMALL_ORDER)
        },
        "another's": lambda blob, start: blob[:start] + secrets.token_bytes(32) + blob[start + 32 :],
    },
    Suite.RSA: {
        "nothing": lambda blob, start: blob[:start],
        "cut": lambda blob, start: blob[:-1],
        "zeros": lambda blob, start: blob[:start] + bytes(512),
        "more than the modulus": lambda blob, start: blob[:start] + b"\xff" * 512,
    },
}


@pytest.mark.parametrize("suite", Suite)
async def test_s16_a_malformed_encapsulation_does_not_open_and_nothing_is_claimed(
    ann: Person, bob: Person, proxy: Proxy, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile sender signs them: digest and manifest are right, only the encapsulation is none."""
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
    async with bob.session() as (session, keyring):
        await invitations.accept(session, keyring, made.link, suite=suite)
    honest, bends = kem.seal_to, ENCAPSULATIONS[suite]
    start = len(kem._header(suite))
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        bad = []
        for bend in bends.values():
            with monkeypatch.context() as patch:
                patch.setattr(sharing.kem, "seal_to", lambda *given, bend=bend: bend(honest(*given), start))
                bad.append((await shares.create(session, keyring, item.item, bob.address)).share)
        good = (await shares.create(session, keyring, item.item, bob.address)).share

    async with proxy.person(bob).session() as (session, keyring):
        for share in bad:
            with pytest.raises(DoesNotOpen) as told:
                await shares.show(session, keyring, share)
            assert told.value.message == DoesNotOpen.__doc__
        assert [each for each in proxy.commands if each.subject.endswith("shares.claim")] == []
        found = {
            each.id if isinstance(each, Broken) else each.share: each for each in await all_incoming(session, keyring)
        }
    assert {id for id, each in found.items() if isinstance(each, Broken)} == set(bad)
    opened = found[good]
    assert isinstance(opened, Share)
    assert opened.content.slots == {"number": "X123"}


async def all_incoming(session: Session, keyring: Any) -> list[Share | Broken]:
    return await shares.all_of(session, keyring, "incoming")


async def test_s16_a_pinned_connections_malformed_key_is_an_alarm(ann: Person, bob: Person, proxy: Proxy) -> None:
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        await connections.all_own(session, keyring)
    for public in publics(Suite.X_WING):
        with proxy.lying("connections", lambda rows, _, public=public: rows[0].update(peer_public=b64(public))):
            async with proxy.person(ann).session() as (session, keyring):
                (shown,) = await connections.all_own(session, keyring)
                assert isinstance(shown, Broken)
    async with proxy.person(ann).session() as (session, keyring):
        (shown,) = await connections.all_own(session, keyring)
        assert not isinstance(shown, Broken)


def test_s16_a_signature_by_a_key_of_small_order_is_forged_whatever_was_signed() -> None:

    with pytest.raises(Refusal):
        verify_command(SIGN_OF_SMALL_ORDER, SIGN_OF_SMALL_ORDER + bytes(32), "home", "subject", b"anything")
    key = SigningKey.generate()
    verify_command(key.public, key.sign(labels.COMMAND, b"home", b"subject", b"it"), "home", "subject", b"it")
