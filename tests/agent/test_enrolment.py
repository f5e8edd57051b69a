"""A device's credential: it is enrolled once, kept, renewed in time, and proven to nobody but the bus."""

import stat
import time
from pathlib import Path

import pytest

from privity.agent import accounts, enrolment, items
from privity.agent.bus import Bus
from privity.agent.enrolment import by_device, by_login, credential_for
from privity.agent.profile import CREDENTIAL, ProfileFolder
from privity.agent.session import Signer
from privity.connection_string import parse_connection_string
from privity.credential import Credential
from privity.crypto.credentials import decode_secret
from privity.crypto.kdf import KdfParams, derive_unlock
from privity.crypto.signing import SigningKey
from privity.encoding import b32, new_id, sha256
from privity.errors import BadLogin, BadSignature, NotAdmitted, UnknownDevice, Unreachable
from privity.messages.envelope import Result
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.trials.load import signer_of


@pytest.fixture
def folder(ann: Person) -> ProfileFolder:
    return ProfileFolder(ann.home)


async def test_it_is_kept_for_the_owner_alone_and_used_again(ann: Person, folder: ProfileFolder) -> None:
    signer, server = signer_of(ann)
    first = await credential_for(folder, server, signer)
    path = folder.path / CREDENTIAL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await credential_for(folder, server, signer)).jwt == first.jwt == path.read_text()


async def test_the_profile_holds_no_seed_of_it(ann: Person, folder: ProfileFolder) -> None:
    signer, server = signer_of(ann)
    credential = await credential_for(folder, server, signer)
    assert credential.nkey is not None
    kept = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert credential.nkey.seed.encode() not in kept
    with pytest.raises(NotAdmitted):
        async with Bus(server, signer.account, Credential(credential.jwt)):
            pass


async def test_it_is_renewed_when_half_of_its_life_is_over(
    ann: Person, folder: ProfileFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, server = signer_of(ann)
    first = await enrolment.enrol(folder, server, signer)
    issued, ends = first.life
    assert ends - issued == 30 * 24 * 3600
    now = time.time()
    monkeypatch.setattr("privity.agent.enrolment.time.time", lambda: now + 14 * 24 * 3600)
    assert (await credential_for(folder, server, signer)).jwt == first.jwt
    monkeypatch.setattr("privity.agent.enrolment.time.time", lambda: now + 16 * 24 * 3600)
    later = await credential_for(folder, server, signer)
    assert later.life[0] >= issued
    assert folder.credential() == later.jwt


async def test_while_nobody_renews_it_the_old_one_serves(
    ann: Person, folder: ProfileFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, server = signer_of(ann)
    first = await credential_for(folder, server, signer)
    monkeypatch.setattr("privity.agent.enrolment.time.time", lambda: first.life[1] - 60)

    async def away(*_: object) -> Credential:
        raise Unreachable

    monkeypatch.setattr("privity.agent.enrolment.by_device", away)
    assert (await credential_for(folder, server, signer)).jwt == first.jwt
    folder.keep_credential("not a credential")
    with pytest.raises(Unreachable):
        await credential_for(folder, server, signer)


async def test_one_that_the_bus_does_not_take_is_replaced(ann: Person, bob: Person) -> None:
    """Damaged, of another device, or from before the bus was set up anew."""
    folder = ProfileFolder(ann.home)
    for useless in ("", "a.b.c", ProfileFolder(bob.home).credential() or ""):
        folder.keep_credential(useless)
        async with ann.session() as (session, keyring):
            assert await items.all_own(session, keyring) == []
    good = folder.credential() or ""
    head, claims, _ = good.split(".")
    folder.keep_credential(f"{head}.{claims}.{good.split('.')[2][::-1]}")
    async with ann.session() as (session, keyring):
        assert await items.all_own(session, keyring) == []


async def test_another_devices_key_enrols_nobody(ann: Person, bob: Person) -> None:
    (hers, server), (his, _) = signer_of(ann), signer_of(bob)
    with pytest.raises(BadSignature):
        await by_device(server, Signer(hers.account, hers.device, his.key, server.home))
    for device in (his.device, new_id()):
        with pytest.raises(UnknownDevice):
            await by_device(server, Signer(hers.account, device, his.key, server.home))
    assert (await by_device(server, hers)).nkey is not None


async def test_another_homes_signature_enrols_nobody(ann: Person) -> None:
    signer, server = signer_of(ann)
    with pytest.raises(BadSignature):
        await by_device(server, Signer(signer.account, signer.device, signer.key, "another-home"))


async def test_a_login_that_proves_nothing_learns_nothing(backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, backend.url)
    written = await ann.register()
    server = parse_connection_string(ann.server)
    stranger = SigningKey.generate()
    told = []
    for account in (written.account, b32(sha256(b"nobody"))):
        with pytest.raises(BadLogin) as refusal:
            await by_login(server, account, stranger, "login")
        told.append(refusal.value.message)
    assert told[0] == told[1]
    _, _, secret = decode_secret(written.secret)
    login = derive_unlock(ann.passphrase, secret, written.account, KdfParams()).login
    with pytest.raises(BadLogin):
        await by_login(server, written.account, login, "recover")
    credential = await by_login(server, written.account, login, "login")
    issued, ends = credential.life
    assert ends - issued == 600
    async with Bus(server, written.account, credential):
        pass


async def test_a_registration_whose_result_was_lost_finds_its_way_in_again(
    backend: RunningHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential of an account that is only about to be is short; its chain waits in the outbox."""
    ann = somebody("ann", tmp_path, backend.url)

    async def lost(*_: object) -> Result:
        raise Unreachable

    with monkeypatch.context() as away:
        away.setattr(Bus, "send", lost)
        made = await ann.register()
    assert made.registered is False
    folder = ProfileFolder(ann.home)
    (folder.path / CREDENTIAL).unlink()
    async with ann.session() as (session, _):
        assert (await accounts.show(session)).account == made.account
    assert folder.waiting() == []
