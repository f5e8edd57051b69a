"""Sharing keys, grants, audits and locations in signed commands."""

from dataclasses import asdict, dataclass, field, replace

from handlers import grants, locations, sharing_keys
from handlers.opening import Delivery
from privity.crypto.audits import grant_id
from privity.crypto.kem import Suite
from privity.crypto.locations import Manifest, objects_digest, seal_body, sign_manifest
from privity.crypto.sharing_keys import (
    Alias,
    KeyRecord,
    PartPlace,
    PrivatePart,
    commit_alias,
    link_part,
    seal_alias,
    seal_part,
    sharing_key_id,
    sign_record,
    wrap_part,
)
from privity.encoding import b64, digest, new_id
from privity.messages.grants import BeginGrant, TakeGrantStep
from privity.messages.locations import ChangeLocation, CreateLocation, RemoveLocation, StoredObject
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    RotateSharingKey,
    SendPublicPart,
)
from tests.examples import key32
from tests.handlers.auditors import Audit
from tests.handlers.keepers import Keeper
from tests.handlers.people import CHECKPOINT, Citizen

HANDLERS = (grants, locations, sharing_keys)
"""Imported, they are registered."""

ALIAS = Alias("attic", b"s" * 16)


@dataclass
class Held:
    """A key of its creator's, as its line goes on, and the location under it."""

    creator: Citizen
    part: PrivatePart = field(default_factory=PrivatePart.generate)
    record: KeyRecord = field(init=False)
    head: str = field(init=False)
    line: tuple[int, str | None] = (0, None)

    def __post_init__(self) -> None:
        nonce = new_id().encode()[:16]
        id = sharing_key_id(self.creator.account, nonce)
        self.record = KeyRecord(
            key=id,
            n=1,
            prev=None,
            by=self.creator.account,
            generation=1,
            suite=Suite.X_WING,
            seal=self.part.pair.public,
            sign=self.part.sign.public,
            holders=(),
            alias=commit_alias(id, ALIAS),
            checkpoint=CHECKPOINT,
            nonce=b64(nonce),
        )

    @property
    def id(self) -> str:
        """The key's."""
        return self.record.key

    def created(self) -> Delivery:
        """The first record."""
        wrap, note = self._wrapped(self.creator), f"{self.id} creator's note".encode()
        return self.creator.says(CreateSharingKey(self.id, *self._signed(), digest(wrap), digest(note)), wrap, note)

    def begun(self, to: Citizen, over: str) -> list[Delivery]:
        """A grant, and its first step."""
        id = grant_id(self.id, to.account, over)
        begins = BeginGrant(id, self.id, to.account, over, self.record.n)
        return [self.creator.says(begins), self.creator.says(TakeGrantStep(id, "reach", "waiting", "no answer"))]

    def granted(self, to: Citizen, over: str) -> Delivery:
        """The private part, sealed to somebody."""
        self._next(holders=tuple(sorted({*self.record.holders, to.account})))
        wrap, id = self._sealed(to, over), grant_id(self.id, to.account, over)
        command = GrantSharingKey(self.id, id, to.account, over, self.record.n, *self._signed(), digest(wrap))
        return self.creator.says(command, wrap)

    def rotated(self, *staying: tuple[Citizen, str], dropped: tuple[str, ...] = ()) -> Delivery:
        """The next generation, for the holders who stay, each over a connection."""
        before, self.part = self.part, PrivatePart.generate()
        public = {"seal": self.part.pair.public, "sign": self.part.sign.public}
        holders = tuple(sorted(each.account for each, _ in staying))
        self._next(generation=self.record.generation + 1, holders=holders, **public)
        wraps = {self.creator.account: self._wrapped(self.creator)}
        wraps |= {each.account: self._sealed(each, over) for each, over in staying}
        link = link_part(self.part, before, self.id, self.record.generation)
        named = {account: digest(wrap) for account, wrap in wraps.items()}
        place = (self.id, self.record.n, self.record.generation, dropped)
        return self.creator.says(RotateSharingKey(*place, *self._signed(), named, digest(link)), *wraps.values(), link)

    def claimed(self, by: Citizen) -> Delivery:
        """A holder keeps the private part."""
        wrap, note = self._wrapped(by), f"{self.id} {by.account} note".encode()
        return by.says(ClaimSharingKey(self.id, self.record.generation, None, digest(wrap), digest(note)), wrap, note)

    def noted(self, by: Citizen) -> Delivery:
        """Another note."""
        before, note = f"{self.id} {by.account} note".encode(), f"{self.id} {by.account} another note".encode()
        return by.says(NoteSharingKey(self.id, digest(before), digest(note)), note)

    def told(self, to: Citizen, over: str) -> Delivery:
        """The public part, for somebody."""
        place = PartPlace(
            key=self.id, generation=self.record.generation, by=self.creator.account, to=to.account, connection=over
        )
        sealed = seal_alias(to.pair.suite, to.pair.public, ALIAS, place)
        command = SendPublicPart(self.id, to.account, over, self.record.generation, digest(sealed))
        return self.creator.says(command, sealed)

    def audited(self, of: Citizen, over: str) -> list[Delivery]:
        """Somebody proves that they have the private part."""
        audit = Audit(self.creator, of, over, "private", self.id, self.record.generation, self.part.pair)
        return [audit.asked(), audit.answered()]

    def placed(self, *keepers: Keeper) -> Delivery:
        """An empty location."""
        return self.creator.says(CreateLocation(self.id, 1, tuple(each.id for each in keepers)))

    def changed(self, by: Citizen, *objects: StoredObject, says: bytes = b"[]") -> Delivery:
        """The next change of the location, by anybody who holds the key."""
        n, prev, generation = self.line[0] + 1, self.line[1], self.record.generation
        place = {"location": self.id, "n": n, "generation": generation, "by": by.account}
        body = seal_body(self.record.suite, self.record.seal, says, **place)  # type: ignore[arg-type]
        rest = {"prev": prev, "body": digest(body), "checkpoint": CHECKPOINT}
        stand = objects_digest([asdict(each) for each in objects], ())
        manifest, signature = sign_manifest(by.keys.sign, Manifest(**place, **rest, objects=stand))  # type: ignore[arg-type]
        self.line = n, digest(manifest)
        said = (self.id, n, generation, b64(manifest), b64(signature), digest(body), objects, ())
        return by.says(ChangeLocation(*said), body)

    def unplaced(self) -> Delivery:
        """The location's end."""
        return self.creator.says(RemoveLocation(self.id))

    def erased(self, by: Citizen) -> Delivery:
        """Somebody gives the key up."""
        return by.says(EraseSharingKey(self.id))

    def _next(self, **changes: object) -> None:
        self.record = replace(self.record, n=self.record.n + 1, prev=self.head, **changes)  # type: ignore[arg-type]

    def _signed(self) -> tuple[str, str]:
        record, signature = sign_record(self.creator.keys.sign, self.record)
        self.head = digest(record)
        return b64(record), b64(signature)

    def _wrapped(self, by: Citizen) -> bytes:
        return wrap_part(by.kek, self.part, self.id, self.record.generation, by.account)

    def _sealed(self, to: Citizen, over: str) -> bytes:
        place = PartPlace(
            key=self.id, generation=self.record.generation, by=self.creator.account, to=to.account, connection=over
        )
        return seal_part(to.pair.suite, to.pair.public, self.part, ALIAS, place)


def told(ann: Citizen, bob: Citizen, eve: Citizen, over: str, with_eve: str) -> list[Delivery]:
    """Bob holds a key of Ann's, was audited, and wrote to the location under it; of another nothing is left."""
    key, gone, keeper = Held(ann), Held(ann), Keeper("supplier-3")
    stored = StoredObject(new_id(), 1, 1, (key32("root"),))
    said = [keeper.announces(), key.created(), *key.begun(bob, over), key.told(bob, over), key.granted(bob, over)]
    said += [key.claimed(bob), key.noted(bob), key.told(eve, with_eve), *key.audited(bob, over)]
    said += [key.placed(keeper), key.changed(ann), key.changed(bob, stored), key.rotated((bob, over))]
    said += [gone.created(), gone.placed(keeper), gone.changed(ann), gone.unplaced(), gone.erased(ann)]
    return said
