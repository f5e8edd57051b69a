"""Accounts: making one, logging in on another device, passphrase and recovery, logging out."""

import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from privity.agent.bus import Bus, error_for
from privity.agent.chains import CREATED, DEVICE_ADDED, DEVICE_REMOVED, RECOVERED, signed_chain
from privity.agent.enrolment import by_login
from privity.agent.identity import (
    Account,
    current,
    fingerprint,
    give_up_older_keys,
    next_record,
    own,
    saw,
    show,
    to_account,
    to_record,
    with_devices,
)
from privity.agent.keyring import (
    Keyring,
    check_identity,
    new_identity,
    unwrap_identity,
    unwrap_kek,
    wrap_device,
    wrap_identity,
    wrap_kek,
)
from privity.agent.profile import Profile, ProfileFolder, secret_of
from privity.agent.session import Rows, Session, Signer, query_payload, read_answer, read_rows
from privity.connection_string import ConnectionString
from privity.credential import Credential
from privity.crypto import labels
from privity.crypto.command import frame, sign_login
from privity.crypto.credentials import (
    decode_recovery,
    decode_secret,
    encode_recovery,
    encode_secret,
    log_hash,
)
from privity.crypto.identity import COMPROMISE, Identity, account_id, extend, make_genesis, verify_chain, walk
from privity.crypto.kdf import KdfParams, derive_recovery, derive_unlock
from privity.crypto.keyring import new_kek
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import (
    BadLogin,
    DoesNotOpen,
    ForgedRecord,
    KeyMismatch,
    Refusal,
    StaleNonce,
    UnknownDevice,
    Unreachable,
)
from privity.messages import envelope
from privity.messages.accounts import ChangePassphrase, ExtendIdentity, Kdf, RegisterAccount, RotateIdentity
from privity.messages.base import Command
from privity.messages.catalog import check_address
from privity.messages.fields import SignedRecord
from privity.messages.views import AccountRow, AskKeyring

__all__ = ["Account", "fingerprint", "own", "show", "signed_chain"]  # what is known by these names elsewhere

log = logging.getLogger(__name__)

SECRET_BYTES = 16
SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What the person writes down: the secret for the next device, and the recovery text for the worst day."""

    account: str
    address: str
    fingerprint: str
    secret: str = field(repr=False)
    recovery: str = field(repr=False)
    registered: bool = True
    """False while the backend has not answered: the registration is kept and sent again."""
    finished: bool = True
    """False where a recovery has yet to give up the stolen keys: `identity.rotate` with `compromised` does it too."""


def first_secret() -> bytes:
    """The account secret that a new account begins with, 16 bytes."""
    return secrets.token_bytes(SECRET_BYTES)


async def create(folder: ProfileFolder, server: ConnectionString, address: str, passphrase: str) -> NewAccount:
    """Make an account: every key is made here; the backend gets public parts and wraps.

    Raises:
        ProfileExists: there is an account in this profile.
        AddressTaken: the address is somebody else's.
    """
    folder.check_free()
    address = check_address(address)
    secret, seed, kek = first_secret(), secrets.token_bytes(SEED_BYTES), new_kek()
    keys, device = new_identity(), SigningKey.generate()
    recovery_public = derive_recovery(seed, "").sign.public
    genesis = make_genesis(
        keys.sign, keys.seal.public, keys.seal.suite, recovery_public, secrets.token_bytes(SECRET_BYTES)
    )
    account = account_id(genesis.record)
    keyring, device_id = Keyring(account, kek, keys, device), new_id()
    first = with_devices(verify_chain([genesis]), keys, {device_id: device.public}, CREATED)
    identity = verify_chain([genesis, first])
    params = KdfParams()
    unlocked, recovery = derive_unlock(passphrase, secret, account, params), derive_recovery(seed, account)
    wraps = (
        wrap_kek(unlocked.wrap, kek, labels.PURPOSE_KEK, account),
        wrap_kek(recovery.wrap, kek, labels.PURPOSE_KEK_RECOVERY, account),
        wrap_identity(kek, keys, account),
    )
    command = RegisterAccount(
        address=address,
        chain=(to_record(genesis), to_record(first)),
        login=b64(unlocked.login.public),
        recovery_login=b64(recovery.login.public),
        kdf=_kdf(params),
        kek=digest(wraps[0]),
        kek_recovery=digest(wraps[1]),
        identity=digest(wraps[2]),
    )
    profile = _profile(keyring, address, device_id, server, secret, params, wraps[0])
    signer = Signer(account, device_id, device, server.home)
    async with Session(folder, server, signer, address, chain=command.chain) as session:
        registered = await _register(session, profile, command, wraps)
        saw(session, identity)
    anchor = log_hash(server.log_public)
    return NewAccount(
        account,
        address,
        fingerprint(identity),
        encode_secret(account, anchor, secret),
        encode_recovery(account, anchor, seed),
        registered,
    )


async def _register(session: Session, profile: Profile, command: RegisterAccount, wraps: tuple[bytes, ...]) -> bool:
    """Keep the keys before anything can come of them; whether the backend has answered."""
    await session.connected()
    session.folder.create(profile)
    try:
        await session.send(command, *wraps)
    except Refusal:
        session.folder.forget()
        raise
    except Unreachable:
        return False
    return True


async def login(
    folder: ProfileFolder, server: ConnectionString, address: str, secret_text: str, passphrase: str
) -> Account:
    """Enrol this device with passphrase and secret.

    Raises:
        BadLogin: they do not belong together; nothing more is told.
        KeyMismatch: the secret is for another home.
    """
    folder.check_free()
    account, anchor, secret = decode_secret(secret_text)
    _check_anchor(anchor, server)
    params = KdfParams()
    unlocked = derive_unlock(passphrase, secret, account, params)
    credential = await by_login(server, account, unlocked.login, "login")
    row, sealed = await _keyring(server, account, unlocked.login, "login", credential)
    if row.address != address:
        raise BadLogin
    kek = unwrap_kek(unlocked.wrap, _named(sealed, row.kek), labels.PURPOSE_KEK, account)
    identity = verified(row.chain, account)
    keys = unwrap_identity(kek, _named(sealed, row.identity), account)
    check_identity(keys, identity)
    keyring, device_id = Keyring(account, kek, keys, SigningKey.generate()), new_id()
    record = with_devices(identity, keys, {**identity.devices, device_id: keyring.device.public}, DEVICE_ADDED)
    profile = _profile(keyring, address, device_id, server, secret, params, _named(sealed, row.kek))
    joining: list[tuple[Command, Sequence[bytes]]] = [(ExtendIdentity(to_record(record)), ())]
    shown, _ = await _enrol(folder, server, profile, keyring, extend(identity, record), joining, credential)
    return shown


async def recover(
    folder: ProfileFolder,
    server: ConnectionString,
    address: str,
    recovery_text: str,
    passphrase: str,
    *,
    compromised: bool = False,
) -> NewAccount:
    """Open the account by its recovery text, whoever holds it now.

    Passphrase, secret and identity keys are new from then on, and this is the only device. The KEK stays, and so all
    that it wraps. What the identity keys before sign from now on counts for nobody if they are `compromised`, or were
    called so since the last recovery, or if somebody put keys there that this account's KEK does not open.

    Raises:
        BadLogin: address and recovery text do not belong together.
        ProfileExists: there is an account in this profile.
    """
    folder.check_free()
    account, anchor, seed = decode_recovery(recovery_text)
    _check_anchor(anchor, server)
    recovery = derive_recovery(seed, account)
    credential = await by_login(server, account, recovery.login, "recover")
    row, sealed = await _keyring(server, account, recovery.login, "recover", credential)
    if row.address != address:
        raise BadLogin
    kek = unwrap_kek(recovery.wrap, _named(sealed, row.kek_recovery), labels.PURPOSE_KEK_RECOVERY, account)
    secret, params = secrets.token_bytes(SECRET_BYTES), KdfParams()
    change, wrapped = _rewrap(account, kek, secret, params, passphrase)
    before = verified(row.chain, account)
    stolen = compromised or _called_stolen(row.chain) or not _opens(kek, sealed, row, before)
    keyring, device_id = Keyring(account, kek, new_identity(), SigningKey.generate()), new_id()
    only = {device_id: keyring.device.public}
    record = next_record(before, keyring.identity, only, RECOVERED, recovery=recovery.sign)
    private = wrap_identity(kek, keyring.identity, account)
    joining: list[tuple[Command, Sequence[bytes]]] = [
        (RotateIdentity(to_record(record), digest(private)), (private,)),
        (change, (wrapped,)),
    ]
    profile = _profile(keyring, address, device_id, server, secret, params, wrapped)
    giving_up = recovery.sign if stolen else None
    shown, finished = await _enrol(
        folder, server, profile, keyring, extend(before, record), joining, credential, giving_up
    )
    return NewAccount(
        account,
        address,
        shown.fingerprint,
        encode_secret(account, anchor, secret),
        recovery_text.strip(),
        finished=finished,
    )


async def change_passphrase(session: Session, keyring: Keyring, profile: Profile, passphrase: str) -> None:
    """Wrap the KEK by a new unlock key; nothing else changes."""
    params = KdfParams()
    change, wrapped = _rewrap(profile.account, keyring.kek, secret_of(profile), params, passphrase)
    session.folder.save(replace(profile, kdf=params.to_json_dict(), kek=b64(wrapped)))
    try:
        await session.send(change, wrapped)
    except Refusal:
        session.folder.save(profile)
        raise


async def logout(session: Session, keyring: Keyring, profile: Profile) -> Account:
    """Take this device out of the identity chain, and the account off this device; the account as it was here."""
    try:
        keyring, identity = await current(session, keyring)
    except UnknownDevice:  # an earlier logout took effect, and its result was lost
        session.folder.forget()
        return Account(profile.account, profile.address, "", 0)
    devices = {id: public for id, public in identity.devices.items() if id != profile.device}
    record = with_devices(identity, keyring.identity, devices, DEVICE_REMOVED)
    with suppress(UnknownDevice):  # it took effect, and the bus let go of this device before the result was there
        await session.send(ExtendIdentity(to_record(record)))
    session.folder.forget()
    return Account(profile.account, profile.address, fingerprint(identity), len(devices))


async def _keyring(
    server: ConnectionString, account: str, login_key: SigningKey, purpose: str, credential: Credential
) -> tuple[AccountRow, dict[str, bytes]]:
    """The wrapped keyring for a login proof over the backend's own fresh nonce."""
    subject = envelope.query_subject(account, AskKeyring.view)
    nonce, device = None, new_id()
    async with Bus(server, account, credential) as bus:
        for _ in range(2):
            proof = sign_login(login_key, server.home, purpose, unb64(nonce or ""))
            ask = AskKeyring(purpose="login" if purpose == "login" else "recover", proof=b64(proof))
            payload = query_payload(account, device, ask, nonce, 0)
            answer, sealed = read_answer(await bus.ask(subject, frame(b"", payload)))
            nonce = answer.nonce
            if answer.code != StaleNonce.__name__:
                break
    if answer.status == "refused":
        raise error_for(answer.code, answer.message)
    return Rows(read_rows(answer, AccountRow), sealed).one("account", account), sealed


async def _enrol(
    folder: ProfileFolder,
    server: ConnectionString,
    profile: Profile,
    keyring: Keyring,
    identity: Identity,
    commands: Sequence[tuple[Command, Sequence[bytes]]],
    credential: Credential,
    recovery: SigningKey | None = None,
) -> tuple[Account, bool]:
    """Keep the profile and send what makes this device one of the account's; `identity` is what it is then.

    `credential` is that of the login; `recovery`: the recovery key, where the keys before are given up as stolen.
    Whether nothing is left to do comes back too: this device is in by then, and the new secret must be shown.
    """
    folder.create(profile)
    signer = Signer(profile.account, profile.device, keyring.device, server.home)
    async with Session(folder, server, signer, profile.address, credential=credential) as session:
        try:
            await session.send_all(commands)
        except Refusal:
            folder.forget()
            raise
        saw(session, identity)
        try:
            if recovery is not None:
                identity = await give_up_older_keys(session, keyring.identity, identity, recovery)
        except (Refusal, Unreachable) as error:
            log.error("%s: %s", error.code, error.message)
            return to_account(profile.address, identity), False
    return to_account(profile.address, identity), True


def _called_stolen(chain: Sequence[SignedRecord]) -> bool:
    """Whether keys were called stolen since the recovery key signed last: from its next record on that counts no more.

    So it has to say it anew; what a thief said of the owner's keys, it says of the thief's.
    """
    called = False
    for identity in walk(signed_chain(chain)):
        called = not identity.by_recovery and (called or identity.reason == COMPROMISE)
    return called


def _opens(kek: bytes, sealed: dict[str, bytes], row: AccountRow, identity: Identity) -> bool:
    """Whether the identity's keys are there under this KEK: a thief who rotated cannot put others under it."""
    try:
        check_identity(unwrap_identity(kek, _named(sealed, row.identity), row.account), identity)
    except DoesNotOpen:
        return False
    return True


def _rewrap(
    account: str, kek: bytes, secret: bytes, params: KdfParams, passphrase: str
) -> tuple[ChangePassphrase, bytes]:
    unlocked = derive_unlock(passphrase, secret, account, params)
    wrapped = wrap_kek(unlocked.wrap, kek, labels.PURPOSE_KEK, account)
    return ChangePassphrase(b64(unlocked.login.public), _kdf(params), digest(wrapped)), wrapped


def verified(chain: tuple[SignedRecord, ...], account: str) -> Identity:
    """The identity that a served chain shows, if it is that account's.

    Raises:
        ForgedRecord: it does not verify, or is another account's.
    """
    identity = verify_chain(signed_chain(chain))
    if identity.account != account:
        raise ForgedRecord("The backend served another account's identity chain.")
    return identity


def _profile(
    keyring: Keyring,
    address: str,
    device_id: str,
    server: ConnectionString,
    secret: bytes,
    params: KdfParams,
    kek: bytes,
) -> Profile:
    account = keyring.account
    return Profile(
        account=account,
        address=address,
        device=device_id,
        server=server.text(),
        secret=b64(secret),
        kdf=params.to_json_dict(),
        kek=b64(kek),
        device_key=b64(wrap_device(keyring.kek, keyring.device, account, device_id)),
        identity=b64(wrap_identity(keyring.kek, keyring.identity, account)),
    )


def _named(sealed: dict[str, bytes], name: str) -> bytes:
    if name not in sealed:
        raise DoesNotOpen("The backend left out a sealed object.")
    return sealed[name]


def _check_anchor(anchor: bytes, server: ConnectionString) -> None:
    if anchor != log_hash(server.log_public):
        raise KeyMismatch("This server is another home than the one that your secret is for: its log key differs.")


def _kdf(params: KdfParams) -> Kdf:
    return Kdf(**params.to_json_dict())
