"""The files of a transfer: an upload's journal and a download's draft, where several processes go at them."""

import os
import time
from pathlib import Path

import pytest

from privity.agent import downloads, upload_journal
from privity.agent.downloads import draft_of
from privity.agent.locations import _write_file
from privity.agent.upload_journal import MAX_AGE, UPLOADS, Head, Journal, Sent
from privity.encoding import digest, new_id
from privity.errors import AlreadyExists, ForgedRecord, Malformed

KEK = b"k" * 32
SOURCE = [b"source"]
LONG = "長" * 75
"""A name of 225 bytes."""


def head() -> Head:
    return Head(new_id(), b"d" * 32, 100, 1, ("supplier",))


def test_a_journal_is_one_processs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, KEK, SOURCE, first := head())
    assert journal is not None
    sent = Sent(b"m" * 32, (b"l" * 32,))
    journal.took(0, sent)
    assert Journal.open(tmp_path, KEK, SOURCE, head()) is None
    journal.close()
    again = Journal.open(tmp_path, KEK, SOURCE, head())
    assert again is not None
    assert (again.head, again.sent) == (first, {0: sent})
    again.close()


def test_a_journal_that_was_settled_while_it_was_waited_for_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Journal.open(tmp_path, KEK, SOURCE, head())
    assert first is not None
    honest = upload_journal._lock

    def late(file: int) -> bool:
        monkeypatch.setattr(upload_journal, "_lock", honest)
        first.forget()
        first.close()
        return honest(file)

    monkeypatch.setattr(upload_journal, "_lock", late)
    second = Journal.open(tmp_path, KEK, SOURCE, fresh := head())
    assert second is not None
    assert second.head == fresh
    assert second.path.exists()
    second.close()
    third = Journal.open(tmp_path, KEK, SOURCE, head())
    assert third is not None
    assert third.head == fresh
    third.close()


def test_old_journals_go_but_never_one_that_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, left, settled = (Journal.open(tmp_path, KEK, [name], head()) for name in (b"held", b"left", b"settled"))
    assert held
    assert left
    assert settled
    left.close()
    for each in (held, left):
        os.utime(each.path, (0, time.time() - MAX_AGE - 1))
    (tmp_path / UPLOADS / "vanished").symlink_to("nowhere")  # its time cannot be told, as of one that goes meanwhile
    journal = Journal.open(tmp_path, KEK, SOURCE, head())
    assert journal is not None
    assert [each.path.exists() for each in (held, left, settled)] == [True, False, True]
    for each in (held, settled, journal):
        each.close()


def test_a_draft_is_one_processs_until_it_has_its_name(tmp_path: Path) -> None:
    draft, sink = tmp_path / ".draft", tmp_path / "sink"
    with downloads._kept(draft) as file:
        waiting = os.open(draft, os.O_RDWR)  # another one has it open, and waits
        file.write(b"whole")
        with pytest.raises(AlreadyExists), downloads._kept(draft):
            pass
        downloads._named(file, draft, sink)
    assert sink.read_bytes() == b"whole"
    with os.fdopen(waiting, "r+b") as file, pytest.raises(AlreadyExists):  # what it has is the file by now
        downloads._check_own(file, draft)
    with downloads._kept(draft) as file:
        assert file.read() == b""


def test_a_draft_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    draft = tmp_path / ".draft"
    draft.write_bytes(b"half")
    draft.chmod(0o600)
    with downloads._kept(draft) as file:
        assert file.read() == b"half"
    for mode in (0o620, 0o602, 0o640, 0o604):
        draft.chmod(mode)
        with pytest.raises(Malformed, match="not a file of your own"), downloads._kept(draft):
            pass
    draft.chmod(0o600)
    os.link(draft, tmp_path / "planted")
    with pytest.raises(Malformed, match="not a file of your own"), downloads._kept(draft):
        pass
    assert draft.read_bytes() == b"half"


def test_a_long_name_has_a_draft(tmp_path: Path) -> None:
    with downloads._kept(draft_of(tmp_path / LONG, new_id())):
        pass
    assert draft_of(Path("a"), "b") == Path(".a.b.part")
    out = tmp_path / LONG
    with pytest.raises(ForgedRecord):
        _write_file(out, b"data", digest(b"other"))
    _write_file(out, b"data", digest(b"data"))
    assert out.read_bytes() == b"data"
    with pytest.raises(AlreadyExists):
        _write_file(out, b"data", digest(b"data"))
    assert sorted(os.listdir(tmp_path)) == sorted(
        [LONG, *(name for name in os.listdir(tmp_path) if name.startswith("."))]
    )
    assert len([name for name in os.listdir(tmp_path) if name.startswith(".")]) == 1  # of the download that stopped
