"""Pieces that a citizen keeps, grants and takes back, in signed commands."""

from dataclasses import dataclass, field

from handlers.opening import Delivery
from privity.crypto.keyring import new_dek
from privity.crypto.pieces import (
    Granted,
    GrantPlace,
    PieceRecord,
    RequestPlace,
    kept_challenge,
    make_answer,
    piece_id,
    request_id,
    seal_grant,
    seal_piece,
    seal_request,
    seal_rules,
    store_key,
)
from privity.encoding import b64, digest
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    SetPiece,
    SetRules,
    StorePiece,
    WithdrawRequest,
)
from tests.handlers.people import CHECKPOINT, Citizen

Readers = dict[str, tuple[Citizen, str]]
"""By account: who reads, and over which connection."""


@dataclass
class Kept:
    """A piece of somebody's as it stands; `n` counts what each asked for."""

    owner: Citizen
    name: str
    version: int = 0
    generation: int = 0
    key: bytes = b""
    content: str = ""
    n: dict[str, int] = field(default_factory=dict)

    @property
    def piece(self) -> str:
        """Its id."""
        return piece_id(self.owner.account, self.name)

    def set(self, value: bytes, *readers: tuple[Citizen, str], renew: bool = False) -> Delivery:
        """The next version; under a new key if that is to be, or if there is none."""
        if renew or not self.key:
            self.generation, self.key = self.generation + 1, new_dek()
        self.version += 1
        place = PieceRecord(
            owner=self.owner.account,
            piece=self.piece,
            name=self.name,
            version=self.version,
            generation=self.generation,
            content="",
            checkpoint=CHECKPOINT,
        )
        sealed = seal_piece(self.key, self.owner.kek, value, place, self.owner.keys.sign)
        self.content = digest(sealed.content)
        wraps, grants, blobs = self._wraps(*readers)
        command = SetPiece(
            piece=self.piece,
            piece_name=self.name,
            version=self.version,
            generation=self.generation,
            record=b64(sealed.record),
            signature=b64(sealed.signature),
            content=self.content,
            owner_wrap=digest(sealed.owner_wrap),
            wraps=wraps,
            grants=grants,
        )
        return self.owner.says(command, sealed.content, sealed.owner_wrap, *blobs)

    def regranted(self, *readers: tuple[Citizen, str]) -> Delivery:
        """The key for more readers."""
        wraps, grants, blobs = self._wraps(*readers)
        return self.owner.says(RegrantPiece(self.piece, self.generation, wraps, grants), *blobs)

    def asked(self, by: Citizen, connection: str) -> Delivery:
        """Another round of somebody's request."""
        self.n[by.account] = self.n.get(by.account, 0) + 1
        place, pair = self._request(by, connection), self.owner.pair
        sealed = seal_request(place, by.kek, pair.suite, pair.public, by.keys.sign)
        self._challenge = kept_challenge(by.kek, sealed.kept, place)
        command = RequestPiece(
            request=place.request,
            owner=place.owner,
            piece_name=self.name,
            connection=connection,
            n=place.n,
            challenge=digest(sealed.challenge),
            kept=digest(sealed.kept),
            signature=b64(sealed.signature),
        )
        return by.says(command, sealed.challenge, sealed.kept)

    def approved(self, by: Citizen, connection: str) -> Delivery:
        """The newest request, granted."""
        wraps, grants, (blob,) = self._wraps((by, connection))
        wrap = wraps[by.account]
        granted = Granted(version=self.version, generation=self.generation, content=self.content, wrap=wrap)
        place = self._request(by, connection)
        command = ApproveRequest(
            request=place.request,
            n=place.n,
            version=self.version,
            generation=self.generation,
            content=self.content,
            wrap=wrap,
            grant=grants[by.account],
            answer=b64(make_answer(self._challenge, place, granted)),
        )
        return self.owner.says(command, blob)

    def declined(self, by: Citizen) -> Delivery:
        """The newest request, not granted."""
        return self.owner.says(DeclineRequest(self._id(by), self.n[by.account]))

    def withdrawn(self, by: Citizen) -> Delivery:
        """The newest request, taken back."""
        return by.says(WithdrawRequest(self._id(by)))

    def stored(self, by: Citizen, connection: str) -> Delivery:
        """The key, kept by a reader."""
        wrap = store_key(by.kek, self.key, self._grant(by, connection))
        return by.says(StorePiece(self.piece, self.generation, digest(wrap)), wrap)

    def released(self, reader: Citizen) -> Delivery:
        """A reader less."""
        return self.owner.says(ReleaseReader(self.piece, reader.account))

    def removed(self) -> Delivery:
        """Nothing under this name any more."""
        self.version += 1
        return self.owner.says(RemovePiece(self.piece, self.version))

    def _wraps(self, *readers: tuple[Citizen, str]) -> tuple[dict[str, str], dict[str, str], list[bytes]]:
        wraps, grants, blobs = {}, {}, []
        for reader, connection in readers:
            place = self._grant(reader, connection)
            wrap, signed = seal_grant(place, reader.pair.suite, reader.pair.public, self.key, self.owner.keys.sign)
            wraps[reader.account], grants[reader.account] = digest(wrap), b64(signed)
            blobs.append(wrap)
        return wraps, grants, blobs

    def _grant(self, reader: Citizen, connection: str) -> GrantPlace:
        return GrantPlace(
            owner=self.owner.account,
            piece=self.piece,
            name=self.name,
            generation=self.generation,
            reader=reader.account,
            connection=connection,
            key=reader.key_id,
        )

    def _request(self, by: Citizen, connection: str) -> RequestPlace:
        return RequestPlace(
            request=self._id(by),
            n=self.n[by.account],
            owner=self.owner.account,
            asker=by.account,
            name=self.name,
            connection=connection,
        )

    def _id(self, by: Citizen) -> str:
        return request_id(self.owner.account, by.account, self.name)


def rules_of(citizen: Citizen, version: int) -> Delivery:
    """Rules, of which nobody here cares what they say."""
    sealed = seal_rules(citizen.kek, b"[]", citizen.account, version)
    return citizen.says(SetRules(version, digest(sealed)), sealed)


def asking(ann: Citizen, bob: Citizen, eve: Citizen, over: str, with_eve: str) -> list[Delivery]:
    """Bob reads Ann's phone and mail and asks for her city; Eve read the phone once."""
    phone, mail, city, gone = (Kept(ann, name) for name in ("phone", "mail", "currentcity", "birthday"))
    told = [phone.set(b"first"), mail.set(b"ann@localhost"), city.set(b"Oslo"), gone.set(b"March"), gone.removed()]
    told += [phone.asked(bob, over), phone.asked(bob, over), phone.approved(bob, over), phone.stored(bob, over)]
    told += [phone.asked(eve, with_eve), phone.declined(eve), phone.asked(eve, with_eve)]
    told += [phone.approved(eve, with_eve), phone.set(b"second"), phone.released(eve)]
    told += [phone.set(b"second", (bob, over), renew=True), phone.stored(bob, over)]
    told += [mail.asked(bob, over), mail.approved(bob, over), mail.set(b"ann2@localhost", renew=True)]
    told += [mail.regranted((bob, over)), city.asked(bob, over), city.withdrawn(bob), city.asked(bob, over)]
    return [*told, rules_of(ann, 1), rules_of(ann, 2)]
