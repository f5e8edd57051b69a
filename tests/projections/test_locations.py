"""The locations view: who reads under a sharing key, and until when."""

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from handlers.committer import Committer
from infra.mapping import to_positioned
from infra.store import open_store
from privity.messages.views import AskLocationLine, AskLocations
from projections.projector import Projector
from tests.examples import NOW
from tests.handlers.holders import Held
from tests.handlers.keepers import Keeper
from tests.handlers.people import HOME, Citizen
from tests.projections.test_views import ask


@pytest.fixture
def ann() -> Citizen:
    return Citizen("ann@localhost")


@pytest.fixture
def bob() -> Citizen:
    return Citizen("bob@localhost")


@pytest.fixture
def given_up(ann: Citizen, bob: Citizen, views: sa.Engine, tmp_path: Path) -> Held:
    """A location of Ann's, whose key Bob held and gave up."""
    key, keeper, offer = Held(ann), Keeper("supplier-1"), ann.invites(bob.address)
    said = [keeper.announces(), ann.registers(), bob.registers(), *ann.stores_key(), *bob.stores_key()]
    said += [offer.sent(), offer.accepted(bob), key.created(), key.granted(bob, offer.connection)]
    said += [key.placed(keeper), key.changed(ann), key.erased(bob)]
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as store:
        outcomes = Committer(store, HOME, lambda: NOW).process(said)
        assert {each.result.status for each in outcomes if each.result} == {"accepted"}
        Projector(views).apply([to_positioned(stored) for stored in store.after(0, 100)])
    return key


def test_who_gives_up_a_key_reads_its_location_no_more_and_its_creator_does(
    given_up: Held, ann: Citizen, bob: Citizen, views: sa.Engine
) -> None:
    assert [row.location for row in ask(views, AskLocations(), ann).rows] == [given_up.id]
    assert len(ask(views, AskLocationLine(location=given_up.id), ann).rows) == 1
    assert ask(views, AskLocations(), bob).rows == ()
