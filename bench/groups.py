"""What a group of a thousand costs: made, one more added, one dropped, beside a thousand bare seals to such members.

`python -m bench.groups [MEMBERS]`. The members are real accounts, connected with the admin, whose commands are decided
and stored as any others; only their passphrases are left out, which are slow on purpose.
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import app
from bench.plan import timed
from domain.account import State as Account
from handlers.committer import Committer
from handlers.opening import Delivery
from handlers.registry import Home
from handlers.states import States
from infra.home import open_keys
from infra.store import EventStore, open_store
from privity.agent import connections, groups
from privity.agent.connections import Note
from privity.agent.identity import to_record
from privity.agent.keyring import IdentityKeys, Keyring, new_identity, unlock
from privity.agent.profile import ProfileFolder
from privity.agent.session import Signer
from privity.crypto.groups import Member, seal_space_key
from privity.crypto.identity import Identity, make_genesis, make_next, verify_chain
from privity.crypto.invitation import confirmation, connection_id, invite_keys, make_acceptance, make_invitation
from privity.crypto.kem import KeyPair, Suite, generate_keypair
from privity.crypto.keyring import new_kek
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, unb64
from privity.messages.accounts import Kdf, RegisterAccount
from privity.messages.base import Command
from privity.messages.connections import ConfirmConnection
from privity.messages.invitations import AcceptInvitation, InviteConnection
from privity.messages.keys import PublishPublicKey, StoreKeypair
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody

MEMBERS = 1000
BATCH = 256
"""Commands that are decided at once while the members are made."""
KDF = Kdf(64 * 1024, 3, 4)
ACTS = ("create", "fill", "add", "drop")


@dataclass
class Citizen:
    """Somebody with keys and a registered account, but without a profile."""

    address: str
    keys: IdentityKeys = field(default_factory=new_identity)
    device: SigningKey = field(default_factory=SigningKey.generate)
    device_id: str = field(default_factory=new_id)
    pair: KeyPair = field(default_factory=lambda: generate_keypair(Suite.X_WING))
    key_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        seal, sign = self.keys.seal, self.keys.sign
        genesis = make_genesis(sign, seal.public, seal.suite, sign.public, secrets.token_bytes(16))
        record = make_next(
            verify_chain([genesis]),
            sign,
            sign=sign,
            seal_public=seal.public,
            seal_suite=seal.suite,
            devices={self.device_id: self.device.public},
            reason="created",
        )
        self.chain = [genesis, record]
        self.identity: Identity = verify_chain(self.chain)

    def signer(self, home: Home) -> Signer:
        """The device that signs."""
        return Signer(self.identity.account, self.device_id, self.device, home.id)


def fill(home: RunningHome, admin: Person, count: int) -> list[str]:
    """Put people who are connected with the admin into a stopped home; their addresses."""
    kept = open_keys(home.data, create=False)
    store = open_store(app.running(home.data).store_url)
    try:
        addresses = _fill(store, app.home_of(kept), admin, count)
    finally:
        store.close()
    app.rebuild_views(app.running(home.data), lambda *_: None, home=home.data)
    return addresses


def _fill(store: EventStore, home: Home, admin: Person, count: int) -> list[str]:
    profile = ProfileFolder(admin.home).load()
    keyring = unlock(profile, admin.passphrase)
    head = States(store).load(Account, profile.account).head
    assert head is not None  # noqa: S101 - the account is there
    inviter = _Inviter(
        home, keyring, Signer(profile.account, profile.device, keyring.device, home.id), admin, head.head
    )
    citizens = [Citizen(f"member-{new_id()[:10]}@localhost") for _ in range(count)]
    committer = Committer(store, home, lambda: datetime.now(UTC))
    _decide(committer, inviter.key())
    _decide(committer, (each for citizen in citizens for each in inviter.connects(citizen)))
    return [each.address for each in citizens]


class _Inviter:
    """An admin as their agent would connect them, without waiting for the other's."""

    def __init__(self, home: Home, keyring: Keyring, signer: Signer, person: Person, head: str) -> None:
        self._home = home
        self._keyring = keyring
        self._signer = signer
        self._person = person
        self._head = head
        self._pair, self._key = generate_keypair(Suite.X_WING), new_id()

    def key(self) -> Iterator[Delivery]:
        """The keypair of all these connections."""
        private = secrets.token_bytes(80)
        store = StoreKeypair(self._key, self._pair.suite.value, b64(self._pair.public), digest(private))
        yield _says(self._signer, store, private)
        yield _says(self._signer, PublishPublicKey(self._key))

    def connects(self, citizen: Citizen) -> Iterator[Delivery]:
        """All that it takes until the two are connected and confirmed."""
        signer, account = citizen.signer(self._home), citizen.identity.account
        sealed = [secrets.token_bytes(64) for _ in range(4)]
        named = [digest(each) for each in sealed]
        key32 = b64(citizen.device.public)
        chain = tuple(to_record(each) for each in citizen.chain)
        register = RegisterAccount(citizen.address, chain, key32, key32, KDF, *named[:3])
        yield _says(signer, register, *sealed[:3])
        pair = citizen.pair
        yield _says(signer, StoreKeypair(citizen.key_id, pair.suite.value, b64(pair.public), named[3]), sealed[3])
        yield _says(signer, PublishPublicKey(citizen.key_id))
        secret, id, mine = secrets.token_bytes(32), new_id(), Note(address=citizen.address)
        offer = make_invitation(
            secret,
            inv=id,
            expires=(until := datetime.now(UTC) + timedelta(days=1)).isoformat(),
            home=self._home.id,
            log_key=self._home.log_public,
            account=self._signer.account,
            address=self._person.address,
            head=unb64(self._head),
            public=self._pair.public,
            suite=self._pair.suite,
            gen=1,
            identity=self._keyring.identity.sign,
        )
        note = connections.seal(self._keyring, mine, id)
        yield _says(
            self._signer,
            InviteConnection(
                id,
                citizen.address,
                self._key,
                until,
                b64(offer.record),
                b64(offer.mac),
                b64(offer.token_hash),
                digest(note),
            ),
            note,
        )
        message = make_acceptance(
            secret,
            invitation_record=offer.record,
            inv=id,
            account=account,
            address=citizen.address,
            head=citizen.identity.head,
            public=citizen.pair.public,
            suite=citizen.pair.suite,
            gen=1,
            identity=citizen.keys.sign,
        )
        theirs, token, mac = secrets.token_bytes(64), b64(invite_keys(secret, id).token), b64(message.mac or b"")
        yield _says(
            signer, AcceptInvitation(id, token, citizen.key_id, b64(message.record), mac, digest(theirs)), theirs
        )
        connection = connection_id(offer.record, message.record)
        pinned = Note(
            connection=connection,
            peer=account,
            address=citizen.address,
            head=b64(citizen.identity.head),
            public=b64(citizen.pair.public),
            verified=True,
            confirmed=True,
            n=2,
        )
        note = connections.seal(self._keyring, pinned, id)
        answer = b64(confirmation(secret, offer.record, message.record))
        confirm = ConfirmConnection(connection, digest(message.record), answer, digest(note))
        yield _says(self._signer, confirm, note)


def _says(signer: Signer, command: Command, *sealed: bytes) -> Delivery:
    waiting = signer.command(command, sealed)
    return Delivery(waiting.subject, waiting.data)


def _decide(committer: Committer, deliveries: Iterator[Delivery]) -> None:
    batch: list[Delivery] = []
    for delivery in deliveries:
        batch.append(delivery)
        if len(batch) == BATCH:
            _all_accepted(committer, batch)
            batch = []
    _all_accepted(committer, batch)


def _all_accepted(committer: Committer, batch: list[Delivery]) -> None:
    for outcome in committer.process(batch) if batch else ():
        if outcome.result is None or outcome.result.status != "accepted":
            raise RuntimeError(f"a member could not be made: {outcome}")


def seals_per_s(count: int) -> float:
    """The floor: bare seals of a key to X-Wing keys, a second."""
    pairs = [generate_keypair(Suite.X_WING).public for _ in range(min(count, 100))]
    member, key = Member("a" * 52, "reader", digest(b"head"), digest(b"seal")), new_kek()
    start = time.perf_counter()
    for number in range(count):
        seal_space_key(Suite.X_WING, pairs[number % len(pairs)], key, "g" * 52, 1, member)
    return count / (time.perf_counter() - start)


def measure(members: int = MEMBERS) -> dict[str, float]:
    """Seconds of each act, microseconds for each member, and the floor's."""
    with tempfile.TemporaryDirectory(prefix="privity-groups-") as name:
        folder = Path(name)
        home = RunningHome(folder / "home")
        with home:
            admin = somebody("admin", folder, home.url)
            asyncio.run(_register(admin))
        addresses = fill(home, admin, members)
        with home:
            seconds = asyncio.run(_acts(admin, addresses))
    floor = 1e6 / seals_per_s(members)
    each = {f"{act}_us_a_member": 1e6 * seconds[act] / members for act in ("fill", "drop")}
    figures = {f"{act}_s": seconds[act] for act in ACTS} | each | {"seal_us": floor}
    return {name: round(value, 3) for name, value in figures.items()}


async def _register(person: Person) -> None:
    await person.register()


async def _acts(admin: Person, addresses: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    *most, last = addresses
    async with admin.session() as (session, keyring):
        await connections.all_own(session, keyring)  # read and checked once, as by any agent that stays
        made = await timed(found, "create", groups.create(session, keyring, "A thousand"))
        await timed(found, "fill", groups.add(session, keyring, made.group, most, "writer"))
        await timed(found, "add", groups.add(session, keyring, made.group, [last]))
        await timed(found, "drop", groups.drop(session, keyring, made.group, [most[0]]))
    return found


def main(arguments: list[str], say: Callable[[str], None] = print) -> None:
    """Measure and print."""
    say(json.dumps(measure(int(arguments[0]) if arguments else MEMBERS), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
