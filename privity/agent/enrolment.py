"""Enrolment: how this device gets its credential for the bus, keeps it and renews it.

The credential is a user JWT, kept in the profile, and the nkey that it names. The nkey is derived from the device's
key, which the profile keeps wrapped under the KEK: so the JWT alone is of no use to whoever copies the profile.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from nats.errors import Error as NatsError
from pydantic import ValidationError

from privity.agent.bus import dial, error_for, leave, request
from privity.agent.profile import ProfileFolder
from privity.connection_string import ConnectionString
from privity.credential import USER, Credential, Nkey, jwt_claims
from privity.crypto.command import unframe
from privity.crypto.enrolment import (
    ANSWER_SUITE,
    nkey_seed,
    open_answer,
    sign_device_enrolment,
    sign_login_enrolment,
)
from privity.crypto.kem import generate_keypair
from privity.crypto.signing import SigningKey
from privity.encoding import b64, unb64
from privity.errors import Busy, Internal, Malformed, RateLimited, StaleNonce, Unreachable
from privity.messages.accounts import RegisterAccount
from privity.messages.catalog import read_command
from privity.messages.enrolment import (
    ENROL_INBOX,
    EnrolDevice,
    Enrolled,
    EnrolLogin,
    enrol_device,
    enrol_login,
    enrolled,
)
from privity.messages.envelope import MAX_MESSAGE, MAX_SEALED, command_envelope
from privity.messages.fields import SignedRecord

if TYPE_CHECKING:
    from privity.agent.session import Signer

Write = Callable[[str | None], tuple[str, bytes]]
"""a nonce → the request's subject and bytes"""


async def credential_for(
    folder: ProfileFolder, server: ConnectionString, signer: "Signer", chain: Sequence[SignedRecord] = ()
) -> Credential:
    """The credential that the profile keeps; a new one where there is none, or half of its life is over.

    `chain`: that of an account which is only about to be registered.

    Raises:
        UnknownDevice: this device is not in the account's chain.
        Unreachable: nobody is there to issue one.
    """
    nkey, kept = _nkey(signer), None
    jwt = folder.credential()
    if jwt is not None and _is_for(jwt, signer.account, nkey):
        kept = Credential(jwt, nkey)
        issued, ends = kept.life
        if time.time() < (issued + ends) / 2:
            return kept
    try:
        return await enrol(folder, server, signer, chain)
    except (Unreachable, Busy, RateLimited, Internal):
        if kept is None:
            raise
        return kept  # the server says whether it is still good


async def enrol(
    folder: ProfileFolder, server: ConnectionString, signer: "Signer", chain: Sequence[SignedRecord] = ()
) -> Credential:
    """A new credential for this device, kept in the profile.

    Raises:
        UnknownDevice: this device is not in the account's chain.
        Unreachable: nobody is there to issue one.
    """
    credential = await by_device(server, signer, chain or _registering(folder))
    folder.keep_credential(credential.jwt)
    return credential


async def by_device(server: ConnectionString, signer: "Signer", chain: Sequence[SignedRecord] = ()) -> Credential:
    """A new credential, proven by the device's signature; as `enrol`."""
    nkey, answer = _nkey(signer), generate_keypair(ANSWER_SUITE)
    account, device = signer.account, signer.device

    def write(nonce: str | None) -> tuple[str, bytes]:
        signature = sign_device_enrolment(
            signer.key, signer.home, account, device, nkey.public, answer.public, unb64(nonce or "")
        )
        asked = EnrolDevice(1, account, device, nkey.public, b64(answer.public), nonce, b64(signature), tuple(chain))
        return asked.subject, enrol_device.dump_json(asked)

    sealed = await _asked(server, write)
    return _checked(open_answer(answer, sealed, signer.home, account, nkey.public), account, nkey)


async def by_login(server: ConnectionString, account: str, login_key: SigningKey, purpose: str) -> Credential:
    """A credential of a few minutes, proven by the login key (`login`) or the recovery's login key (`recover`).

    Raises:
        BadLogin: there is no such account, or this is not its key; which of the two is not told.
        Unreachable: nobody is there to issue one.
    """
    nkey, answer = Nkey.generate(USER), generate_keypair(ANSWER_SUITE)

    def write(nonce: str | None) -> tuple[str, bytes]:
        proof = sign_login_enrolment(
            login_key, server.home, account, purpose, nkey.public, answer.public, unb64(nonce or "")
        )
        kind: Literal["login", "recover"] = "login" if purpose == "login" else "recover"
        asked = EnrolLogin(1, account, kind, nkey.public, b64(answer.public), nonce, b64(proof))
        return asked.subject, enrol_login.dump_json(asked)

    sealed = await _asked(server, write)
    return _checked(open_answer(answer, sealed, server.home, account, nkey.public), account, nkey)


def _registering(folder: ProfileFolder) -> Sequence[SignedRecord]:
    """The chain of an account whose registration waits to be sent again."""
    for waiting in folder.waiting():
        if waiting.subject.endswith(f".{RegisterAccount.subject}"):
            _, payload, *_ = unframe(waiting.data, MAX_SEALED + 2, MAX_MESSAGE)
            command = read_command(RegisterAccount.subject, command_envelope.validate_json(payload).body)
            return command.chain if isinstance(command, RegisterAccount) else ()
    return ()


async def _asked(server: ConnectionString, write: Write) -> bytes:
    """The sealed answer to a request, which is written once more with the nonce of the first answer."""
    client = await dial(server, Credential(server.credential), ENROL_INBOX)
    try:
        answer = _read(await request(client, *write(None)))
        if answer.code == StaleNonce.__name__:
            answer = _read(await request(client, *write(answer.nonce)))
    except (NatsError, OSError, TimeoutError) as error:
        raise Unreachable("the backend did not answer in time") from error
    finally:
        await leave(client)
    if answer.status == "refused":
        raise error_for(answer.code, answer.message)
    return unb64(answer.sealed or "")


def _read(data: bytes) -> Enrolled:
    try:
        return enrolled.validate_json(data)
    except ValidationError as error:
        raise Malformed("the backend's answer cannot be read") from error


def _checked(jwt: str, account: str, nkey: Nkey) -> Credential:
    if not _is_for(jwt, account, nkey):
        raise Malformed("the backend issued somebody else's credential")
    return Credential(jwt, nkey)


def _is_for(jwt: str, account: str, nkey: Nkey) -> bool:
    try:
        claims = jwt_claims(jwt)
    except Malformed:
        return False
    return (claims.get("name"), claims.get("sub")) == (account, nkey.public)


def _nkey(signer: "Signer") -> Nkey:
    return Nkey.of(nkey_seed(signer.key, signer.home, signer.account), USER)
