"""What the operator gave is written down before it is shown, is taken back as a whole, and ends by itself."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import given as module
from infra.credentials import LISTED, SUPPLIER_LIFE
from infra.given import FILE, Given, given_by, is_revoked, read_given, remember, revoke, write_given
from privity.credential import USER, Nkey
from privity.errors import Malformed, NotFound, TooLarge

LATER = int(time.time()) + 1000


def made(name: str, id: str = "a" * 52, kind: str = "supplier", until: int = LATER) -> Given:
    """A credential of somebody."""
    return Given(kind, id, name, Nkey.generate(USER).public, until)


def test_all_credentials_of_one_are_taken_back_and_nobody_elses(tmp_path: Path) -> None:
    first, second, other, consumer = made("attic"), made("attic"), made("cellar", "b" * 52), made("attic", kind="other")
    for each in (first, second, other, consumer):
        remember(tmp_path, each)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert {each.nkey for each in revoke(tmp_path, "supplier", "attic")} == {first.nkey, second.nkey}
    assert [is_revoked(tmp_path, each.nkey) for each in (first, second, other, consumer)] == [True, True, False, False]
    remember(tmp_path, renewed := made("attic"))  # the same supplier is given another one: that counts
    assert not is_revoked(tmp_path, renewed.nkey)
    assert is_revoked(tmp_path, first.nkey)
    with pytest.raises(NotFound):
        revoke(tmp_path, "supplier", "nobody")
    assert len(revoke(tmp_path, "supplier", "b" * 52)) == 1


def test_a_name_is_that_of_who_had_it_last(tmp_path: Path) -> None:
    before, after = made("attic"), made("attic", "b" * 52)
    remember(tmp_path, before)
    remember(tmp_path, after)
    assert revoke(tmp_path, "supplier", "attic")[0].nkey == after.nkey
    assert not is_revoked(tmp_path, before.nkey)


def test_what_is_given_again_to_an_nkey_that_was_taken_back_stays_taken_back(tmp_path: Path) -> None:
    remember(tmp_path, own := made("attic"))
    revoke(tmp_path, "supplier", "attic")
    remember(tmp_path, own)
    assert is_revoked(tmp_path, own.nkey)


def test_what_has_ended_is_forgotten_and_there_is_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(tmp_path, made("old", until=int(time.time()) - 1))
    remember(tmp_path, made("new"))
    assert [each.name for each in given_by(tmp_path)] == ["new"]
    assert module.MAX_GIVEN < LISTED  # so none of them is told to the server by its time alone
    monkeypatch.setattr(module, "MAX_GIVEN", 1)
    with pytest.raises(TooLarge):
        remember(tmp_path, made("one more"))


def test_what_was_taken_back_of_a_supplier_stays_so_past_its_end_and_beside_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nkey stays what it is, and gets a new credential at each start of its home."""
    remember(tmp_path, own := made("attic"))
    remember(tmp_path, made("stats", "stats", "consumer"))
    for kind, name in (("supplier", "attic"), ("consumer", "stats")):
        revoke(tmp_path, kind, name)
    monkeypatch.setattr(module, "MAX_GIVEN", 1)
    monkeypatch.setattr(time, "time", lambda: LATER + 1)
    remember(tmp_path, made("cellar", "b" * 52, until=LATER + 2))
    assert is_revoked(tmp_path, own.nkey)
    assert [each.name for each in given_by(tmp_path)] == ["cellar"]
    assert [each.name for each in read_given((tmp_path / FILE).read_bytes())] == ["attic", "cellar"]


def test_what_is_in_no_list_is_taken_back_by_its_nkey(tmp_path: Path) -> None:
    remember(tmp_path, own := made("attic"))
    unknown = Nkey.generate(USER).public
    taken = revoke(tmp_path, "supplier", unknown)
    assert [(each.nkey, each.revoked, each.until >= time.time() + SUPPLIER_LIFE - 60) for each in taken] == [
        (unknown, True, True)
    ]
    assert (is_revoked(tmp_path, unknown), is_revoked(tmp_path, own.nkey)) == (True, False)
    assert revoke(tmp_path, "supplier", own.nkey)[0].name == "attic"
    with pytest.raises(NotFound):
        revoke(tmp_path, "supplier", unknown.lower())


def test_several_who_give_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as operators:
        list(operators.map(lambda number: remember(tmp_path, made(f"s{number}")), range(20)))
    assert len(given_by(tmp_path)) == 20


def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path) -> None:
    good = write_given([made("attic")])
    assert read_given(good)[0].name == "attic"
    for text in (b"", b"{}", good[:-3], good.replace(b'"U', b'"X'), b"[" + good[1:-1] * 2 + b"]"):
        with pytest.raises(Malformed):
            read_given(text)
