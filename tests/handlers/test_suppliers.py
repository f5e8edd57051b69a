"""Suppliers' commands through the committer: whose signature counts, and what an export shows of them."""

from pathlib import Path

from handlers.committer import Committer
from handlers.opening import Delivery
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import sign_replacement
from privity.encoding import b64
from privity.messages.suppliers import AnnounceSupplier
from tests.audit.conftest import export_of
from tests.audit.forging import Lines, forged, recorded, rewritten
from tests.audit.test_verify import alarm, checked
from tests.handlers.keepers import Keeper


def status(committer: Committer, delivery: Delivery) -> str:
    """What became of a command: accepted, ignored, or the code of the refusal."""
    [outcome] = committer.process([delivery])
    assert outcome.result is not None
    return outcome.result.code or outcome.result.status


def test_b27_a_supplier_speaks_by_the_key_that_its_id_is_made_of(committer: Committer) -> None:
    one, other = Keeper("supplier-1"), Keeper("supplier-2")
    thief = SigningKey.generate()
    stolen = one.says(AnnounceSupplier(one.id, "supplier-1", b64(thief.public), 0))
    assert status(committer, stolen) == "UnknownDevice"
    assert status(committer, other.says(AnnounceSupplier(one.id, "x", b64(other.key.public), 0))) == "BadSignature"
    assert status(committer, one.says(AnnounceSupplier(one.id, "x", b64(bytes(32)), 0))) == "Malformed"
    assert status(committer, one.announces()) == "accepted"
    assert status(committer, one.announces()) == "ignored"


def test_b25_only_the_operator_orders_that_a_supplier_takes_anothers_place(committer: Committer) -> None:
    one, other, third = (Keeper(f"supplier-{number}") for number in (1, 2, 3))
    committer.process([one.announces(), other.announces(), third.announces()])
    assert status(committer, other.replaces(one, by=other.key)) == "BadSignature"
    assert status(committer, Keeper("unknown").replaces(one)) == "UnknownDevice"
    order = other.replaces(one)
    assert status(committer, order) == "accepted"
    assert status(committer, other.replaces(one)) == "ignored"
    assert status(committer, third.replaces(one)) == "AlreadyExists"
    assert status(committer, one.replaces(other)) == "NotFound"


def test_b27_an_export_shows_who_announced_and_who_ordered(tmp_path: Path) -> None:
    one, other = Keeper("supplier-1"), Keeper("supplier-2")
    whole = export_of(tmp_path, [one.announces(), other.announces(), other.replaces(one)]).read_bytes()
    assert checked(tmp_path, whole).events == 5
    by_itself = b64(sign_replacement(other.key, one.id, other.id))

    def other_order(events: Lines) -> None:
        rewritten(events[-1], order=by_itself)

    def another_key(events: Lines) -> None:
        rewritten(events[1], public=b64(other.key.public))

    def no_order(events: Lines) -> None:
        del events[-1]["command"]
        assert recorded(events[-1])["event"]["lost"] == one.id

    for change in (other_order, another_key, no_order):
        assert alarm(tmp_path, forged(whole, change)).code in ("ForgedRecord", "DoesNotOpen"), change.__name__
