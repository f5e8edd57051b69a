"""Accounts: making one, logging in on another device, passphrase and recovery, logging out."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from privity.agent.bus import Bus
from privity.agent.keyring import (
    IdentityKeys,
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
from privity.agent.session import Rows, Session, Signer, error_for, query_payload, read_answer, read_rows
from privity.connection_string import ConnectionString
from privity.crypto import labels
from privity.crypto.command import frame, sign_login
from privity.crypto.credentials import (
    decode_recovery,
    decode_secret,
    encode_recovery,
    encode_secret,
    log_hash,
)
from privity.crypto.identity import Identity, Signed, account_id, make_genesis, make_next, verify_chain
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
from privity.messages.accounts import ChangePassphrase, ExtendIdentity, Kdf, RegisterAccount
from privity.messages.base import Command
from privity.messages.catalog import check_address
from privity.messages.fields import SignedRecord
from privity.messages.views import AccountRow, AskAccount, AskKeyring

SECRET_BYTES = 16
SEED_BYTES = 32
LABEL_BYTES = 15
"""Of a fingerprint: 15 bytes, shown as 24 characters in groups."""


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


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its owner sees it."""

    account: str
    address: str
    fingerprint: str
    devices: int


def fingerprint(identity: Identity) -> str:
    """The newest identity record's hash in groups, for people to compare."""
    text = identity.head.hex()[: 2 * LABEL_BYTES]
    return " ".join(text[start : start + 5] for start in range(0, len(text), 5))


async def create(folder: ProfileFolder, server: ConnectionString, address: str, passphrase: str) -> NewAccount:
    """Make an account: every key is made here; the backend gets public parts and wraps.

    Raises:
        ProfileExists: there is an account in this profile.
        AddressTaken: the address is somebody else's.
    """
    folder.check_free()
    address = check_address(address)
    secret, seed, kek = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SEED_BYTES), new_kek()
    keys, device = new_identity(), SigningKey.generate()
    recovery_public = derive_recovery(seed, "").sign.public
    genesis = make_genesis(
        keys.sign, keys.seal.public, keys.seal.suite, recovery_public, secrets.token_bytes(SECRET_BYTES)
    )
    account = account_id(genesis.record)
    keyring, device_id = Keyring(account, kek, keys, device), new_id()
    first = _with_devices(verify_chain([genesis]), keys, {device_id: device.public}, "created")
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
        chain=(_record(genesis), _record(first)),
        login=b64(unlocked.login.public),
        recovery_login=b64(recovery.login.public),
        kdf=_kdf(params),
        kek=digest(wraps[0]),
        kek_recovery=digest(wraps[1]),
        identity=digest(wraps[2]),
    )
    profile = _profile(keyring, address, device_id, server, secret, params, wraps[0])
    async with Session(folder, server, Signer(account, device_id, device, server.home), address) as session:
        registered = await _register(session, profile, command, wraps)
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
    row, sealed = await _keyring(server, account, unlocked.login, "login")
    if row.address != address:
        raise BadLogin
    kek = unwrap_kek(unlocked.wrap, _named(sealed, row.kek), labels.PURPOSE_KEK, account)
    return await _enrol(folder, server, row, sealed, kek, secret, params, _named(sealed, row.kek))


async def recover(
    folder: ProfileFolder, server: ConnectionString, address: str, recovery_text: str, passphrase: str
) -> NewAccount:
    """Open the account by its recovery text; passphrase and secret are new from then on.

    Raises:
        BadLogin: address and recovery text do not belong together.
    """
    folder.check_free()
    account, anchor, seed = decode_recovery(recovery_text)
    _check_anchor(anchor, server)
    recovery = derive_recovery(seed, account)
    row, sealed = await _keyring(server, account, recovery.login, "recover")
    if row.address != address:
        raise BadLogin
    kek = unwrap_kek(recovery.wrap, _named(sealed, row.kek_recovery), labels.PURPOSE_KEK_RECOVERY, account)
    secret, params = secrets.token_bytes(SECRET_BYTES), KdfParams()
    change, wrapped = _rewrap(account, kek, secret, params, passphrase)
    shown = await _enrol(folder, server, row, sealed, kek, secret, params, wrapped, (change, (wrapped,)))
    return NewAccount(
        account,
        address,
        shown.fingerprint,
        encode_secret(account, anchor, secret),
        recovery_text.strip(),
    )


async def show(session: Session) -> Account:
    """One's own account as the backend has it, its chain checked."""
    row, identity = await own(session)
    return Account(identity.account, row.address, fingerprint(identity), len(identity.devices))


async def own(session: Session) -> tuple[AccountRow, Identity]:
    """One's own account as the backend serves it.

    Raises:
        ForgedRecord: it is not this profile's account, or its address is another one.
    """
    row = (await session.ask(AskAccount(), AccountRow)).one("account", session.account)
    if row.address != session.address:
        raise ForgedRecord("The backend serves another address for this account.")
    return row, verified(row.chain, session.account)


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
        _, identity = await own(session)
    except UnknownDevice:  # an earlier logout took effect, and its result was lost
        session.folder.forget()
        return Account(profile.account, profile.address, "", 0)
    devices = {id: public for id, public in identity.devices.items() if id != profile.device}
    record = _with_devices(identity, keyring.identity, devices, "device-removed")
    await session.send(ExtendIdentity(_record(record)))
    session.folder.forget()
    return Account(profile.account, profile.address, fingerprint(identity), len(devices))


async def _keyring(
    server: ConnectionString, account: str, login_key: SigningKey, purpose: str
) -> tuple[AccountRow, dict[str, bytes]]:
    """The wrapped keyring for a login proof over the backend's own fresh nonce."""
    subject = envelope.query_subject(account, AskKeyring.view)
    nonce, device = None, new_id()
    async with Bus(server, account) as bus:
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
    row: AccountRow,
    sealed: dict[str, bytes],
    kek: bytes,
    secret: bytes,
    params: KdfParams,
    wrapped: bytes,
    *also: tuple[Command, Sequence[bytes]],
) -> Account:
    identity = verified(row.chain, row.account)
    keys = unwrap_identity(kek, _named(sealed, row.identity), row.account)
    check_identity(keys, identity)
    device, device_id = SigningKey.generate(), new_id()
    record = _with_devices(identity, keys, {**identity.devices, device_id: device.public}, "device-added")
    keyring = Keyring(row.account, kek, keys, device)
    folder.create(_profile(keyring, row.address, device_id, server, secret, params, wrapped))
    signer = Signer(row.account, device_id, device, server.home)
    try:
        async with Session(folder, server, signer, row.address) as session:
            await session.send_all([(ExtendIdentity(_record(record)), ()), *also])
    except Refusal:
        folder.forget()
        raise
    identity = verify_chain([*signed_chain(row.chain), record])
    return Account(row.account, row.address, fingerprint(identity), len(identity.devices))


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


def signed_chain(chain: tuple[SignedRecord, ...]) -> list[Signed]:
    """A served chain as the records that the crypto checks."""
    return [_signed(each) for each in chain]


def _with_devices(head: Identity, keys: IdentityKeys, devices: dict[str, bytes], reason: str) -> Signed:
    return make_next(
        head,
        keys.sign,
        sign=keys.sign,
        seal_public=keys.seal.public,
        seal_suite=keys.seal.suite,
        devices=devices,
        reason=reason,
    )


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


def _record(signed: Signed) -> SignedRecord:
    return SignedRecord(b64(signed.record), tuple(b64(each) for each in signed.signatures))


def _signed(record: SignedRecord) -> Signed:
    return Signed(unb64(record.record), tuple(unb64(each) for each in record.signatures))
