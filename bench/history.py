"""A seeded history of a home: people who connect, keep, edit, share and fetch; the same events for the same seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from infra.mapping import to_row
from infra.store import Batch, EventStore
from infra.store import Event as Row
from privity.crypto.kem import Suite
from privity.crypto.record import encode_record
from privity.crypto.sharing import Manifest
from privity.encoding import b32, b64, digest
from privity.messages.accounts import AccountRegistered, IdentityHead, Kdf
from privity.messages.base import Event
from privity.messages.connections import ConnectionConfirmed, ConnectionEstablished, Side
from privity.messages.erasing import SealedErased
from privity.messages.fields import SignedRecord
from privity.messages.invitations import ConnectionInvited, InvitationAccepted
from privity.messages.items import ItemAdded, ItemEdited
from privity.messages.keys import KeypairStored
from privity.messages.reads import ShareFetched
from privity.messages.recorded import Meta
from privity.messages.shares import EncryptionSpaceOpened, LineExtended, ShareClaimed, ShareCreated, ShareRemoved

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE_PERSON_IN = 400
"""Events: a new person comes about so often."""
BATCH = 1000
SUITE = Suite("MLKEM768_X25519")
SEAL, SEALING = 1216, 600
"""Bytes of a public X-Wing key, and of a record with it."""
RECENT = 8
"""Items, shares and connections of a person that go on being used."""


@dataclass
class _Person:
    account: str
    address: str
    device: str
    key: str
    public: str
    items: dict[str, int] = field(default_factory=dict)
    shares: list[ShareCreated] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    peers: list[tuple[str, "_Person"]] = field(default_factory=list)


class _History:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - it makes figures, not secrets
        self._people: list[_Person] = []
        self.happened = 0

    def _long(self) -> str:
        return b32(self._random.randbytes(32))

    def _short(self) -> str:
        return b32(self._random.randbytes(16))

    def _raw(self, length: int) -> str:
        return b64(self._random.randbytes(length))

    def _digest(self) -> str:
        return self._raw(32)

    def commands(self) -> Iterator[tuple[_Person, list[Event]]]:
        """What one command after another makes, without end."""
        for _ in range(4):
            yield from self._comes()
        while True:
            if self._random.random() * ONE_PERSON_IN < 1:
                yield from self._comes()
            yield self._does(self._random.choice(self._people))

    def _comes(self) -> Iterator[tuple[_Person, list[Event]]]:
        account, device = self._long(), self._short()
        address = f"person-{len(self._people)}@localhost"
        made = _Person(account, address, device, self._short(), self._raw(SEAL))
        head = IdentityHead(
            1, self._digest(), self._raw(32), made.public, "MLKEM768_X25519", self._raw(32), {device: self._raw(32)}
        )
        record = SignedRecord(self._raw(SEAL + SEALING), (self._raw(64), self._raw(64)))
        logins, wraps = (self._raw(32), self._raw(32)), (self._digest(), self._digest(), self._digest())
        yield made, [AccountRegistered(account, address, (record,), head, *logins, Kdf(64 * 1024, 3, 4), *wraps)]
        yield made, [KeypairStored(made.key, account, "MLKEM768_X25519", made.public, self._digest())]
        if self._people:
            yield from self._connect(self._random.choice(self._people[-RECENT:]), made)
        self._people.append(made)

    def _connect(self, one: _Person, other: _Person) -> Iterator[tuple[_Person, list[Event]]]:
        invitation, connection, offer = self._short(), self._long(), self._raw(SEAL + SEALING)
        invited = ConnectionInvited(
            invitation,
            one.account,
            one.address,
            other.address,
            one.key,
            one.public,
            START + timedelta(days=14),
            offer,
            self._raw(32),
            self._digest(),
            self._digest(),
        )
        yield one, [invited]
        sides = (Side(each.account, each.address, each.key, each.public, self._digest()) for each in (one, other))
        accepted = InvitationAccepted(invitation, one.account, other.account, connection)
        answer = (offer, self._raw(32), self._raw(SEAL + SEALING), self._raw(32))
        yield other, [accepted, ConnectionEstablished(connection, invitation, *sides, *answer)]
        confirmed = ConnectionConfirmed(connection, one.account, other.account, self._raw(32), self._digest())
        yield one, [confirmed]
        one.peers.append((connection, other))
        other.peers.append((connection, one))

    def _does(self, who: _Person) -> tuple[_Person, list[Event]]:
        turn = self._random.random()
        if turn < 0.30 or not who.items:
            return who, self._adds(who)
        if turn < 0.55:
            return who, self._edits(who)
        if turn < 0.75 and who.peers:
            return who, self._shares(who)
        if who.shares and turn < 0.95:
            return self._reads(who, self._random.choice(who.shares[-RECENT:]))
        if who.shares:
            share = who.shares.pop(self._random.randrange(len(who.shares)))
            return who, [ShareRemoved(share.share, share.space, share.owner, share.recipient, share.owner)]
        return who, self._adds(who)

    def _adds(self, who: _Person) -> list[Event]:
        item = self._short()
        who.items[item] = 1
        while len(who.items) > RECENT:
            del who.items[next(iter(who.items))]
        return [ItemAdded(item, who.account, self._digest(), self._digest())]

    def _edits(self, who: _Person) -> list[Event]:
        item = self._random.choice(list(who.items))
        who.items[item] += 1
        edited = ItemEdited(item, who.account, who.items[item], self._digest(), self._digest())
        return [edited, SealedErased(item, (self._digest(), self._digest()), (who.account,))]

    def _shares(self, who: _Person) -> list[Event]:
        connection, peer = self._random.choice(who.peers[-RECENT:])
        item, version = self._random.choice(list(who.items.items()))
        share, space, n = self._short(), self._short(), who.lines.get(connection, 0) + 1
        who.lines[connection] = n
        parts = (self._digest(), self._digest(), self._digest())
        prev = self._digest() if n > 1 else None
        manifest = Manifest(
            share=share,
            space=space,
            connection=connection,
            item=item,
            version=version,
            generation=1,
            owner=who.account,
            recipient=peer.account,
            recipient_key=peer.key,
            suite=SUITE,
            content=parts[0],
            owner_wrap=parts[1],
            recipient_wrap=parts[2],
            n=n,
            prev=prev,
            checkpoint=self._raw(90),
        )
        said = encode_record({"v": 1, **asdict(manifest), "keep": 0})
        created = ShareCreated(
            share,
            space,
            connection,
            who.account,
            peer.account,
            item,
            version,
            peer.key,
            "MLKEM768_X25519",
            b64(said),
            self._raw(64),
            *parts,
            expires=None,
            terms=None,
            terms_hash=None,
            reshare=0,
            keep=False,
            source=None,
        )
        who.shares.append(created)
        del who.shares[: -4 * RECENT]
        wraps = {who.account: parts[1], peer.account: parts[2]}
        line = b32((who.account + connection).encode()[:32])
        return [
            EncryptionSpaceOpened(space, connection, who.account, wraps),
            created,
            LineExtended(line, connection, who.account, n, share, digest(said)),
        ]

    def _reads(self, who: _Person, share: ShareCreated) -> tuple[_Person, list[Event]]:
        reader = next(peer for connection, peer in who.peers if connection == share.connection)
        if self._random.random() < 0.5:
            return reader, [ShareFetched(self._short(), share.share, share.owner, share.recipient, START)]
        return reader, [ShareClaimed(share.share, share.space, share.owner, share.recipient, self._digest())]

    def meta(self, who: _Person) -> Meta:
        """By whom, and when: a command a second."""
        self.happened += 1
        text = self._random.randbytes(16).hex()
        command = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        return Meta(command, self._digest(), who.account, who.device, START + timedelta(seconds=self.happened))


def fill(store: EventStore, events: int, seed: int = 1) -> int:
    """Append so many events or a few more, in transactions of a thousand; the position reached."""
    history, versions, rows, head = _History(seed), dict[str, int](), list[Row](), 0
    for who, made in history.commands():
        meta = history.meta(who)
        for event in made:
            version = versions[event.stream] = versions.get(event.stream, 0) + 1
            rows.append(to_row(event, version, meta))
        if len(rows) >= BATCH or head + len(rows) >= events:
            head, rows = store.append(Batch(events=rows))[-1], []
        if head >= events:
            return head
    return head
