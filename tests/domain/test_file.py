"""Decisions about files."""

import pytest

from domain.facts import Actor
from domain.file import REMEMBERED
from privity.errors import AlreadyExists, NotConnected, NotFound, StaleVersion, TooManyFiles
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.delegations import DelegationGranted, ItemKept, KeepItem
from privity.messages.files import MAX_FILES, AttachFile, DetachFile, FileAttached, FileDetached
from privity.messages.items import AddItem, ItemAdded, ItemRemoved, RemoveItem
from privity.messages.shares import CreateShare, RemoveShare, ShareCreated, ShareRemoved
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, erased, example, long_id, sealed, short_id

ADDED, SHARED, ATTACHED = example(ItemAdded), example(ShareCreated), example(FileAttached)
ITEM, SHARE, OBJECT = short_id("item"), short_id("share"), sealed("file content")
TO_SHARE = example(AttachFile, of=SHARE)
OF_SHARE = example(FileAttached, of=SHARE, recipient=BOB.account, connection=long_id("connection"))
MISSING = NotFound("there is no such item or share of yours")


def full(of: str = ITEM) -> list[FileAttached]:
    """As many files as there can be."""
    return [
        example(FileAttached, of=of, file=short_id(f"file {n}"), content=sealed(f"object {n}"))
        for n in range(MAX_FILES)
    ]


def test_a_file_is_attached_to_ones_own_item() -> None:
    given(ADDED).when(example(AttachFile), by=ANN).then(ATTACHED)


def test_a_file_is_attached_to_a_share_that_one_gives() -> None:
    given(example(ConnectionEstablished), SHARED).when(TO_SHARE, by=ANN).then(OF_SHARE)


def test_nobody_attaches_a_file_to_what_is_not_theirs() -> None:
    given(ADDED).when(example(AttachFile), by=EVE).then(MISSING)
    given(SHARED).when(TO_SHARE, by=BOB).then(MISSING)
    given(SHARED).when(TO_SHARE, by=EVE).then(MISSING)
    given().when(example(AttachFile), by=ANN).then(MISSING)


def test_nothing_is_attached_to_what_has_ended() -> None:
    given(ADDED, example(ItemRemoved)).when(example(AttachFile), by=ANN).then(MISSING)
    given(SHARED, example(ShareRemoved)).when(TO_SHARE, by=ANN).then(MISSING)
    ended = given(example(ConnectionEstablished), SHARED, OF_SHARE, example(ConnectionRemoved))
    ended.when(TO_SHARE, by=ANN).then(NotConnected)
    detached = example(FileDetached, of=SHARE, recipient=BOB.account)
    ended.when(example(DetachFile, of=SHARE), by=ANN).then(detached, erased(SHARE, OBJECT, of=[ANN, BOB]))


def test_an_item_and_a_share_never_have_the_same_id() -> None:
    """Files hang on either by its id alone: nobody gets at another's by giving something of their own the same."""
    made = (example(ConnectionEstablished), example(DelegationGranted))
    given(*made, SHARED, OF_SHARE).when(example(AddItem, item=SHARE), by=BOB).then(AlreadyExists)
    given(*made, SHARED, OF_SHARE).when(example(KeepItem, item=SHARE), by=ANN).then(AlreadyExists)
    given(*made).when(example(KeepItem, item=SHARE), by=ANN).then(example(ItemKept, item=SHARE))

    bobs = example(ItemAdded, item=short_id("bob's"), owner=BOB.account)
    to_ann = {"item": bobs.item, "recipient": ANN.account, "recipient_key": short_id("ann's key")}
    for gone in ((), (example(ItemRemoved),)):
        theirs = given(*made, ADDED, *gone, bobs)
        theirs.when(example(CreateShare, share=ITEM, **to_ann), by=BOB).then(AlreadyExists)
    assert isinstance(theirs.when(example(CreateShare, **to_ann), by=BOB).outcome, list)


def test_a_files_id_and_its_sealed_object_are_taken_once() -> None:
    given(ADDED, ATTACHED).when(example(AttachFile, content=sealed("other")), by=ANN).then(AlreadyExists)
    given(ADDED, ATTACHED).when(example(AttachFile, file=short_id("other")), by=ANN).then(AlreadyExists)


def test_there_are_sixteen_files_and_no_more() -> None:
    given(ADDED, *full()).when(example(AttachFile), by=ANN).then(TooManyFiles)
    given(ADDED, *full()[1:]).when(example(AttachFile), by=ANN).then(ATTACHED)


def test_a_file_is_taken_off_and_its_object_erased() -> None:
    gone = example(FileDetached), erased(ITEM, OBJECT)
    after = given(ADDED, ATTACHED).when(example(DetachFile), by=ANN).then(*gone)
    after.when(example(DetachFile), by=ANN).then_nothing()
    after.when(example(AttachFile, file=short_id("other")), by=ANN).then(example(FileAttached, file=short_id("other")))


def test_a_file_that_was_taken_off_does_not_come_back_nor_one_that_was_on_its_way() -> None:
    for history in ((ADDED, ATTACHED), (ADDED,)):
        after = given(*history, example(FileDetached))
        after.when(example(AttachFile), by=ANN).then(StaleVersion("the file was taken off meanwhile"))
    given(ADDED).when(example(DetachFile), by=ANN).then(example(FileDetached))
    others = [example(FileDetached, file=short_id(f"file {n}")) for n in range(REMEMBERED)]
    given(ADDED, example(FileDetached), *others[1:]).when(example(AttachFile), by=ANN).then(StaleVersion)
    given(ADDED, example(FileDetached), *others).when(example(AttachFile), by=ANN).then(ATTACHED)


def test_a_file_that_is_taken_off_a_share_is_gone_for_both() -> None:
    detached = example(FileDetached, of=SHARE, recipient=BOB.account)
    told = given(SHARED, OF_SHARE).when(example(DetachFile, of=SHARE), by=ANN)
    told.then(detached, erased(SHARE, OBJECT, of=[ANN, BOB]))


@pytest.mark.parametrize("by", [BOB, EVE], ids=["bob", "eve"])
def test_nobody_takes_off_what_is_not_theirs(by: Actor) -> None:
    given(SHARED, OF_SHARE).when(example(DetachFile, of=SHARE), by=by).then(MISSING)


def test_files_go_with_their_item() -> None:
    first = erased(ITEM, sealed("content"), sealed("wrap"))
    files = erased(ITEM, *(each.content for each in full()))
    given(ADDED, *full()).when(example(RemoveItem), by=ANN).then(example(ItemRemoved), first, files)


def test_files_go_with_their_share_whoever_ends_it() -> None:
    own = (sealed("content"), sealed("owner's wrap"), sealed("recipient's wrap"))
    for by in (ANN, BOB):
        ended = given(SHARED, OF_SHARE).when(example(RemoveShare), by=by)
        both = [ANN, BOB]
        ended.then(example(ShareRemoved, by=by.account), erased(SHARE, *own, of=both), erased(SHARE, OBJECT, of=both))
