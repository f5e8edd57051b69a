"""Shares as the handlers decide about them: what a stranger's signature may not tell."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from handlers.committer import Committer
from privity.crypto.sharing import Conditions, UnderTerms, accept_terms, new_terms, read_manifest
from privity.encoding import b64, new_id
from privity.messages.shares import AcceptTerms
from tests.handlers.people import CHECKPOINT, Citizen, Shared
from tests.handlers.test_delegations import OTHERS


class Told(NamedTuple):
    """Ann's share for Bob under terms, which is nothing to Eve."""

    bob: Citizen
    eve: Citizen
    share: Shared


@pytest.fixture
def told(committer: Committer) -> Told:
    ann, bob, eve = (Citizen(f"{name}@localhost") for name in ("ann", "bob", "eve"))
    item, invitation = new_id(), ann.invites(bob.address)
    before = [ann.registers(), bob.registers(), eve.registers(), *ann.stores_key(), *bob.stores_key(), ann.adds(item)]
    before += [invitation.sent(), invitation.accepted(bob), invitation.confirmed()]
    share: Shared = invitation.shares(ann, bob, item)
    share.conditions = Conditions(terms=new_terms("Be kind."))
    outcomes = committer.process([*before, share.created()])
    assert {outcome.result and outcome.result.status for outcome in outcomes} == {"accepted"}
    return Told(bob, eve, share)


def accepting(by: Citizen, share: str, terms: UnderTerms) -> AcceptTerms:
    """What somebody signed as terms that they accept."""
    return AcceptTerms(share, terms.terms_hash or "", b64(accept_terms(by.keys.sign, terms)))


def code_of(committer: Committer, by: Citizen, command: AcceptTerms) -> str | None:
    """How the home refuses it; None if it does not."""
    [outcome] = committer.process([by.says(command)])
    assert outcome.result is not None
    return outcome.result.code


def test_who_accepts_terms_learns_nothing_of_the_shares_of_others(committer: Committer, told: Told) -> None:
    hashed = read_manifest(told.share.manifest).terms_hash
    for share in (told.share.id, new_id()):
        of_none = UnderTerms(share, "", "", "", hashed)
        assert code_of(committer, told.eve, accepting(told.eve, share, of_none)) == "NotFound"

    of_none = UnderTerms(told.share.id, "", "", "", hashed)
    assert code_of(committer, told.bob, accepting(told.bob, told.share.id, of_none)) == "ForgedRecord"
    [outcome] = committer.process([told.share.accepted()])
    assert outcome.result is not None
    assert outcome.result.status == "accepted"


@pytest.mark.parametrize("checkpoint", ["no checkpoint", OTHERS], ids=["none", "another log's"])
def test_a_manifest_names_a_checkpoint_of_this_log(committer: Committer, told: Told, checkpoint: str) -> None:
    """Both ends hold it against their log: another one would be an alarm for each manifest behind it, for ever."""
    share, new = told.share, replace(told.share, id=new_id(), space=new_id(), generation=0)
    for note, code in ((checkpoint, "ForgedRecord"), (CHECKPOINT, None)):
        for each, make in ((share, Shared.revised), (new, Shared.created)):
            before, each.checkpoint = (each.generation, dict(share.owner.lines)), note
            [outcome] = committer.process([make(each)])
            assert outcome.result is not None
            assert outcome.result.code == code
            if code is not None:
                each.generation, share.owner.lines = before
