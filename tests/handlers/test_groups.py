"""Groups, decided by a real committer: what would be an alarm for every member is refused."""

import pytest

from handlers.committer import Committer
from privity.crypto.log import make_checkpoint
from privity.crypto.merkle import EMPTY_ROOT
from privity.encoding import new_id
from tests.handlers import clubs
from tests.handlers.clubs import Club
from tests.handlers.people import LOG, Citizen


@pytest.mark.parametrize("note", ["garbage", make_checkpoint(LOG, "another home", 0, EMPTY_ROOT)])
def test_what_is_signed_for_a_group_names_a_checkpoint_of_this_home(
    committer: Committer, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, post = Citizen("ann@localhost"), new_id()

    def codes(*deliveries: object) -> list[str | None]:
        found = [outcome.result for outcome in committer.process(deliveries)]  # type: ignore[arg-type]
        return [result.code if result else "none" for result in found]

    assert codes(ann.registers(), *ann.stores_key()) == [None] * 3
    club = Club(ann)
    with monkeypatch.context() as bent:
        bent.setattr(clubs, "CHECKPOINT", note)
        assert codes(*Club(ann).advances({ann.account: (ann, "admin")})) == [None, "Malformed"]
    assert codes(*club.advances({ann.account: (ann, "admin")})) == [None, None]
    with monkeypatch.context() as bent:
        bent.setattr(clubs, "CHECKPOINT", note)
        assert codes(club.posts(ann, post)) == ["Malformed"]
    club.n, club.last = 0, None
    assert codes(club.posts(ann, post)) == [None]
    n, last = club.n, club.last
    with monkeypatch.context() as bent:
        bent.setattr(clubs, "CHECKPOINT", note)
        assert codes(club.withdraws(ann, post)) == ["Malformed"]
    club.n, club.last = n, last
    assert codes(club.withdraws(ann, post)) == [None]
