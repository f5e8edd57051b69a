"""What an agent makes of the steps that it walked: which items are to be kept anew, and who somebody is."""

from dataclasses import replace
from typing import Any

from privity.agent.adopting import due
from privity.agent.delegations import known_as
from privity.agent.steps import Ended, Walk
from privity.agent.vaults import Vault
from privity.agent.versions import is_behind
from privity.crypto.delegations import seal_version
from privity.encoding import b64, digest
from privity.messages.views import DelegationRow, ItemRow
from tests.crypto.test_delegations import ANN, GRANT, KEY, VERSION

STEP = DelegationRow(principal="ann", n=2, record="", signature="", position=7, chain=())


def vault(**changes: Any) -> Vault:
    """Ann's, at the second generation: Bob is one of her delegates."""
    walk = Walk("ann", {}, hashes={1: "first", 2: "second"}, grants={GRANT.delegation: GRANT})
    for name, value in changes.items():
        setattr(walk, name, value)
    return Vault(walk, None, "ann@localhost", {})


def kept(**changes: Any) -> ItemRow:
    """A version that Bob signed."""
    place = VERSION | changes
    sealed = seal_version(KEY, b"the plan", **place, identity=ANN)
    parts = {"content": digest(sealed.content), "wrap": digest(sealed.wrap)}
    return ItemRow(item=place["item"], version=3, **parts, record=b64(sealed.record), signature="", kept=5)


def test_m34_what_somebody_wrote_who_is_a_delegate_no_more_is_kept_anew_also_after_a_crash() -> None:
    plain = ItemRow(item="plain", version=1, content="c", wrap="w")
    older = kept(item="older", by="ann", delegation=None, generation=1)
    unread = replace(plain, item="unread", record="bm8")
    bobs = kept()
    rows = [plain, bobs, older, unread]
    assert due(vault(), rows) == [plain]
    assert due(vault(), rows, now=True) == [plain, older]
    ended = {"grants": {}, "removed": {GRANT.delegation: Ended(GRANT, STEP)}}
    assert due(vault(**ended), rows) == [plain, bobs]


def test_m34_a_vault_that_was_opened_before_a_step_is_opened_again() -> None:
    assert not is_behind(vault(), [kept(), kept(by="ann", delegation=None)])
    assert is_behind(vault(), [kept(generation=3)])
    assert is_behind(vault(), [kept(delegation="another")])


def test_m34_nobody_is_taken_for_somebody_whom_one_knows_because_an_owner_says_so() -> None:
    assert known_as(GRANT, {"bob": "bob@localhost"}) == "bob@localhost"
    assert known_as(GRANT, {"bob": "robert@localhost"}) == "robert@localhost"
    assert known_as(GRANT, {}) == "bob@localhost"
    assert known_as(GRANT, {"another": "bob@localhost"}) == "bob", "not by the address, by the account's id"
