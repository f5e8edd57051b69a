"""The server is told who is revoked: at once, after it was away, and however many there are."""

import asyncio
import time
from collections.abc import AsyncIterator

import nats.errors
import pytest

import infra.people
from infra.credentials import DEVICE_LIFE, EVERYBODY, LISTED, bounded, device_jwt
from infra.nats_server import NatsServer
from infra.people import People
from infra.settings import EMBEDDED_PEOPLE
from privity.credential import USER, Credential, Nkey, jwt_claims
from privity.errors import StoreUnavailable
from tests.infra import buses
from tests.infra.buses import ANN, BOB, KEYS, PATIENCE, Person, credential_of, system_way
from tests.infra.test_bus import crash, until


class Revoked(dict[str, int]):
    """Who is revoked, as the store would say."""

    def __call__(self) -> dict[str, int]:
        return dict(self)

    def add(self, credential: Credential) -> None:
        assert credential.nkey is not None
        self[credential.nkey.public] = credential.life[1]


@pytest.fixture
def revoked() -> Revoked:
    return Revoked()


@pytest.fixture
async def people(server: NatsServer, revoked: Revoked) -> AsyncIterator[People]:
    told = People(KEYS, EMBEDDED_PEOPLE, revoked)
    await told.open(system_way(server))
    yield told
    await told.close()


async def test_n8_a_revoked_connection_is_cut_and_the_others_live_on(
    server: NatsServer, people: People, revoked: Revoked
) -> None:
    lost, kept = credential_of(ANN), credential_of(ANN)
    one, other = [await Person.of(server.url, each, f"_INBOX_{ANN}") for each in (lost, kept)]
    revoked.add(lost)
    await people.tell()
    await asyncio.wait_for(one.ended.wait(), PATIENCE)
    await other.bus.flush()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, lost, f"_INBOX_{ANN}")
    assert not other.ended.is_set()
    await other.bus.close()


async def test_n8_a_newer_credential_of_a_revoked_nkey_is_revoked_too(
    server: NatsServer, people: People, revoked: Revoked
) -> None:
    """Up to the end of the last one that was issued: so no clock brings it back."""
    nkey, end = Nkey.generate(USER), int(time.time()) + 3600
    revoked[nkey.public] = end
    await people.tell()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, Credential(device_jwt(KEYS, ANN, nkey.public, end), nkey), f"_INBOX_{ANN}")


async def test_n8_the_server_knows_it_after_a_crash_before_anybody_tells_it(
    server: NatsServer, people: People, revoked: Revoked
) -> None:
    lost, kept = credential_of(ANN), credential_of(BOB)
    revoked.add(lost)
    await people.tell()
    await people.close()
    await crash(server)
    await server.start()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Person.of(server.url, lost, f"_INBOX_{ANN}")
    someone = await Person.of(server.url, kept, f"_INBOX_{BOB}")
    await someone.bus.close()


async def test_n8_what_could_not_be_told_is_told_later_though_the_line_stands(
    server: NatsServer, revoked: Revoked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.people, "AGAIN", 0.01)
    away = [False, True, True]

    def found() -> dict[str, int]:
        if away and away.pop(0):
            raise StoreUnavailable
        return revoked()

    people, lost = People(KEYS, EMBEDDED_PEOPLE, found), credential_of(ANN)
    await people.open(system_way(server))
    one = await Person.of(server.url, lost, f"_INBOX_{ANN}")
    revoked.add(lost)
    with pytest.raises(StoreUnavailable):
        await people.tell()
    people.tell_later()
    await asyncio.wait_for(one.ended.wait(), PATIENCE)
    await people.close()


async def test_consumers_take_no_room_in_the_list_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have an account of their own: else a thousand of them would have suppliers revoked by their age."""
    told: list[dict[str, object]] = []

    async def update(jwt: str) -> None:
        told.append(jwt_claims(jwt)["nats"]["revocations"])

    people = People(KEYS, EMBEDDED_PEOPLE, lambda: {"Uperson": 2, "Uconsumer": 3}, lambda: {"Uconsumer": 3})
    monkeypatch.setattr(people, "_update", update)
    await people.tell()
    assert told == [{"Uperson": 2}, {"Uconsumer": 3}]


async def test_n8_a_server_on_an_emptied_folder_is_told_when_it_is_back(
    server: NatsServer, people: People, revoked: Revoked
) -> None:
    lost = credential_of(ANN)
    revoked.add(lost)
    await people.tell()
    await crash(server)
    for path in (server.folder / "accounts").rglob("*.jwt"):
        path.unlink()
    await server.start()

    async def refused() -> bool:
        try:
            line = await Person.of(server.url, lost, f"_INBOX_{ANN}")
        except nats.errors.Error:
            return True
        await line.bus.close()
        return False

    await until(refused)
    someone = await buses.Person.device(server.url, BOB)
    await someone.bus.close()


def test_all_are_named_as_long_as_they_fit() -> None:
    few = {f"U{number}": number for number in range(LISTED)}
    assert bounded(few) == few


def test_beyond_that_older_ones_are_revoked_by_their_time() -> None:
    now = int(time.time())
    many = {f"U{number}": now + number for number in range(LISTED + 10)}
    told = bounded(many)
    assert len(told) == LISTED + 1
    for nkey, end in many.items():  # each was issued at most DEVICE_LIFE before its end
        issued = end - DEVICE_LIFE
        assert told.get(nkey, 0) >= issued or told[EVERYBODY] >= issued


async def test_as_many_as_are_named_fit_into_what_the_server_takes(people: People, revoked: Revoked) -> None:
    revoked.update({Nkey.generate(USER).public: 2**33 + number for number in range(LISTED + 1)})
    await people.tell()
