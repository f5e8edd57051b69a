"""The views: equal rows on each database, however the events came; and pages that leave nothing out."""

import ast
import inspect
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.sql.visitors import iterate

from privity.errors import BadToken, InvitationClosed, InvitationExpired, NotFound
from privity.messages.catalog import EVENTS
from privity.messages.fields import SignedRecord
from privity.messages.recorded import Positioned
from privity.messages.views import (
    Ask,
    AskAccount,
    AskConnections,
    AskFeed,
    AskGrants,
    AskGroupEpochs,
    AskGroupLine,
    AskGroupMembers,
    AskGroups,
    AskInvitations,
    AskItems,
    AskKeyAudits,
    AskKeys,
    AskLocations,
    AskOffer,
    AskPieces,
    AskReaders,
    AskRequests,
    AskRules,
    AskShares,
    AskSharingKeys,
    AskSpaces,
)
from projections import accounts, connections, feed, views
from projections.changes import FOLDS
from projections.desk import VIEWS, Desk, Page
from projections.projector import Projector, rows, snapshot
from projections.rebuild import differences
from projections.tables import grant_steps, grants
from tests.examples import ANN, BOB, EVE, LATER, NOW, example, long_id, meta, raw, short_id, side, signature
from tests.handlers import clubs
from tests.handlers.people import Citizen
from tests.handlers.story import Story

UNHEARD = {"address-claimed", "pair-connected", "pair-parted", "encryption-space-opened", "line-extended"}
UNHEARD |= {"group-line-extended", "supplier-announced", "supplier-named", "supplier-replaced", "sharing-key-given"}
"""Events of the backend's own bookkeeping: what they mean to somebody, another event of the same command says.

Of suppliers everybody may read, and nobody is told.
"""


def others_in(statement: sa.UpdateBase) -> set[str]:
    """The tables that a statement reads beside the one that it changes."""
    found = {each if isinstance(each, sa.Table) else each.table for each in iterate(statement) if _names(each)}
    return {each.name for each in found if each is not statement.table}


def _names(each: Any) -> bool:
    return isinstance(each, sa.Table) or (isinstance(each, sa.Column) and isinstance(each.table, sa.Table))


def test_a_change_looks_at_its_own_table_only() -> None:
    """What came in one batch is executed table by table: else a rebuild would fold otherwise than the live views."""
    changes = [each for module in views.ALL for each in vars(module).values() if isinstance(each, sa.UpdateBase)]
    assert len(changes) > 50
    assert {other for each in changes for other in others_in(each)} == set()
    of_bob = grants.delete().where(grants.c.grant.in_(sa.select(grant_steps.c.grant)))
    assert others_in(of_bob) == {"grant_steps"}


def test_what_folds_events_is_asked_about_those_that_it_names_and_no_others() -> None:
    named: dict[Any, set[str]] = {}
    for event, folds in FOLDS.items():
        for apply in folds:
            named.setdefault(apply, set()).add(event.__name__)
    assert len(named) > 15
    for apply, events in named.items():
        cases = [each for each in ast.walk(ast.parse(inspect.getsource(apply))) if isinstance(each, ast.MatchClass)]
        assert events == {ast.unparse(each.cls) for each in cases}, apply.__module__


def after(events: Sequence[Positioned]) -> Any:
    """Reads events as the store does."""
    return lambda position, limit: [each for each in events if each.position > position][:limit]


def all_rows(engine: sa.Engine) -> list[tuple[str, tuple[object, ...]]]:
    with snapshot(engine) as db:
        return list(rows(db))


def ask(engine: sa.Engine, ask: Ask, by: Citizen, *, fresh: bool = False, at: Any = NOW) -> Page[Any]:
    """What a view answers somebody."""
    with engine.connect() as db:
        return VIEWS[type(ask)](ask, Desk(by.account, at, db, fresh, lambda invitation: f"mail-token-of-{invitation}"))


@pytest.fixture
def folded(views: sa.Engine, recorded: Sequence[Positioned]) -> sa.Engine:
    """Views of the whole story."""
    Projector(views).apply(recorded)
    return views


# Folding.


def test_both_databases_have_equal_rows(
    folded: sa.Engine, postgres_views: sa.Engine, recorded: Sequence[Positioned]
) -> None:
    Projector(postgres_views).apply(recorded)
    assert all_rows(folded) == all_rows(postgres_views)
    tables = {table for table, _ in all_rows(folded)}
    assert tables == {
        "progress", "accounts", "addresses", "identity_records", "keys", "invitations", "connections", "items",
        "spaces", "space_members", "shares", "files", "lines", "feed", "feed_heads", "partings",
        "delegates", "delegation_steps", "vault_befores", "vault_wraps", "instructions",
        "groups", "group_members", "group_epochs", "group_lines",
        "pieces", "piece_readers", "piece_requests", "piece_rules",
        "sharing_keys", "sharing_key_people", "sharing_key_notes", "sharing_key_records", "grants", "grant_steps",
        "key_audits", "suppliers", "locations", "location_readers", "location_lines",
    }  # fmt: skip


def test_an_event_counts_once_however_often_it_comes(each_views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    projector = Projector(each_views)
    projector.apply(recorded[:10])
    projector.apply(recorded[:10])
    projector.apply(recorded[5:])
    once = all_rows(each_views)
    projector.apply(recorded)
    Projector(each_views).apply(recorded[-3:])
    assert all_rows(each_views) == once
    assert Projector(each_views).position == projector.position == recorded[-1].position


def test_in_whatever_batches_they_come_the_rows_are_those_of_a_rebuild(
    recorded: Sequence[Positioned], folded: sa.Engine
) -> None:
    whole = all_rows(folded)

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sets(st.integers(1, len(recorded) - 1)))
    def law(cuts: set[int]) -> None:
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        projector, edges = Projector(engine), [0, *sorted(cuts), len(recorded)]
        for start, stop in pairwise(edges):
            projector.apply(recorded[start:stop])
        assert all_rows(engine) == whole
        engine.dispose()

    law()


def test_live_views_equal_their_rebuild_and_a_bent_row_is_found(
    each_views: sa.Engine, recorded: Sequence[Positioned]
) -> None:
    Projector(each_views).catch_up(after(recorded[:30]))
    assert differences(each_views, after(recorded)) == (recorded[29].position, [])
    Projector(each_views).catch_up(after(recorded))
    assert differences(each_views, after(recorded)) == (recorded[-1].position, [])
    with each_views.begin() as db:
        db.execute(sa.text("UPDATE shares SET version = version + 1"))
    _, found = differences(each_views, after(recorded))
    assert [line.partition(":")[0] for line in found] == ["shares"]
    with each_views.begin() as db:
        db.execute(sa.text("UPDATE shares SET version = version - 1"))
        db.execute(sa.text("DELETE FROM items WHERE version = 2"))
    _, found = differences(each_views, after(recorded))
    assert found[0].startswith("items: ")


def test_a_batch_that_fails_leaves_neither_rows_nor_position(
    each_views: sa.Engine, recorded: Sequence[Positioned], monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = Projector(each_views)
    projector.apply(recorded[:10])
    before = all_rows(each_views)
    with monkeypatch.context() as broken:
        broken.setattr(projector, "_advance", lambda position, db: db.execute(sa.text("SELECT no_such_thing")))
        with pytest.raises(sa.exc.SQLAlchemyError):
            projector.apply(recorded[10:])
    assert all_rows(each_views) == before
    projector.apply(recorded[10:])
    assert projector.position == recorded[-1].position


def test_a_second_projector_on_the_same_views_is_noticed(each_views: sa.Engine, recorded: Sequence[Positioned]) -> None:
    one, other = Projector(each_views), Projector(each_views)
    one.apply(recorded[:5])
    before = all_rows(each_views)
    with pytest.raises((RuntimeError, sa.exc.IntegrityError)):
        other.apply(recorded[:6])
    assert all_rows(each_views) == before
    noted = next(each for each in recorded if each.event.name == "connection-noted")
    other.position = noted.position - 1  # an update of no row, which no key of a table could notice
    with pytest.raises(RuntimeError, match="another projector"):
        other.apply([replace(noted, event=example(EVENTS["connection-noted"]))])
    assert all_rows(each_views) == before


# Asking.


def everything(story: Story) -> list[tuple[Ask, Citizen, int]]:
    """Each view with who asks it and how many rows there are."""
    return [
        (AskItems(), story.ann, 4),
        (AskKeys(), story.ann, 1),
        (AskInvitations(), story.ann, 4),
        (AskInvitations(), story.eve, 2),
        (AskConnections(), story.bob, 1),
        (AskShares(), story.ann, 1),
        (AskSpaces(), story.bob, 1),
        (AskGroups(), story.ann, 1),
        (AskGroupMembers(group=clubs.Club(story.ann).id), story.ann, 1),
        (AskGroupLine(group=clubs.Club(story.ann).id), story.ann, 4),
        (AskGroupEpochs(group=clubs.Club(story.ann).id), story.ann, 3),
        (AskGroupEpochs(group=clubs.Club(story.ann).id), story.eve, 3),
        (AskGroupEpochs(group=clubs.Club(story.ann).id), story.bob, 2),
        (AskPieces(), story.ann, 4),
        (AskPieces(owner=story.ann.account), story.bob, 3),
        (AskReaders(), story.ann, 2),
        (AskReaders(held=True), story.bob, 2),
        (AskRequests(), story.ann, 4),
        (AskRequests(open=True), story.bob, 1),
        (AskRequests(), story.eve, 1),
        (AskRules(), story.ann, 1),
        (AskSharingKeys(), story.ann, 1),
        (AskSharingKeys(), story.bob, 1),
        (AskGrants(), story.ann, 1),
        (AskKeyAudits(), story.bob, 1),
        (AskLocations(), story.bob, 1),
        (AskFeed(), story.eve, 28),
    ]


def test_pages_of_any_size_have_every_row_once_and_in_order(folded: sa.Engine, story: Story) -> None:
    for view, by, count in everything(story):
        whole = ask(folded, view, by)
        assert (len(whole.rows), whole.more) == (count, False), type(view).__name__
        for limit in (1, 2, count):
            found: list[Any] = []
            page = ask(folded, replace(view, limit=limit), by)
            while True:
                found += page.rows
                assert len(page.rows) == len(page.sealed) == len(page.cursors) <= limit
                if not page.more:
                    break
                page = ask(folded, replace(view, limit=limit, after=page.cursors[-1]), by)
            assert found == list(whole.rows), (type(view).__name__, limit)


def test_a_page_goes_on_behind_its_cursor_although_a_row_before_it_went(folded: sa.Engine, story: Story) -> None:
    first = ask(folded, AskItems(limit=2), story.ann)
    with folded.begin() as db:
        db.execute(sa.text("DELETE FROM items WHERE item = :item"), {"item": first.rows[0].item})
    rest = ask(folded, AskItems(after=first.cursors[-1]), story.ann)
    assert [row.item for row in (*first.rows, *rest.rows)] == story.items


def test_a_stranger_sees_nothing_of_what_is_others(folded: sa.Engine, story: Story) -> None:
    stranger = Citizen("stranger@localhost")
    for view, _, _ in everything(story):
        if isinstance(view, AskGroupEpochs | AskGroupMembers | AskGroupLine):
            with pytest.raises(NotFound, match="there is no such group"):
                ask(folded, view, stranger, fresh=True)
            continue
        assert ask(folded, view, stranger, fresh=True).rows == ()
    for view in (AskGroupLine(group=clubs.Club(story.ann).id), AskGroupMembers(group=clubs.Club(story.ann).id)):
        for gone in (story.bob, story.eve):  # one went, the other was dropped
            with pytest.raises(NotFound, match="there is no such group"):
                ask(folded, view, gone, fresh=True)
    for account, count in ((story.ann.account, 1), (story.bob.account, 1), (story.eve.account, 0)):  # Ann signed for it
        of = AskGroupMembers(group=clubs.Club(story.ann).id, account=account)
        assert len(ask(folded, of, story.bob).rows) == count
    with pytest.raises(NotFound):
        ask(folded, AskAccount(), stranger)
    assert ask(folded, AskShares(id=story.share.id), story.eve, fresh=True).rows == ()
    assert ask(folded, AskSpaces(id=story.share.space), story.eve, fresh=True).rows == ()
    assert ask(folded, AskConnections(id=story.invitation.connection), story.eve).rows == ()
    assert ask(folded, AskItems(id=story.items[0]), story.bob).rows == ()


def test_each_side_of_a_connection_sees_the_other_and_only_its_own_note(folded: sa.Engine, story: Story) -> None:
    anns, bobs = (ask(folded, AskConnections(), by).rows[0] for by in (story.ann, story.bob))
    assert (anns.peer, bobs.peer) == (story.bob.account, story.ann.account)
    assert (anns.public, anns.peer_public) == (bobs.peer_public, bobs.public)
    assert (anns.inviter, bobs.inviter, anns.confirmed, bobs.confirmed) == (True, False, True, True)
    assert anns.note != bobs.note
    assert len(anns.peer_chain) == 2
    assert len(bobs.peer_chain) == 3


def test_items_are_found_by_prefix_and_by_whom_they_are_shared_with(folded: sa.Engine, story: Story) -> None:
    shared = ask(folded, AskItems(shared_with=story.invitation.connection), story.ann)
    assert [(row.item, row.version) for row in shared.rows] == [(story.items[0], 2)]
    by_prefix = ask(folded, AskItems(id=story.items[1][:12]), story.ann)
    assert [row.item for row in by_prefix.rows] == [story.items[1]]


def test_m15_an_unclaimed_wrap_is_released_for_a_fresh_request_alone(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    claimed = next(each.position for each in recorded if each.event.name == "share-claimed")
    projector = Projector(each_views)
    projector.apply([each for each in recorded if each.position < claimed])
    for view in (AskShares(), AskSpaces()):
        assert ask(each_views, view, story.bob).rows[0].wrap is None
        assert ask(each_views, view, story.bob, fresh=True).rows[0].wrap is not None
        assert ask(each_views, view, story.ann).rows[0].wrap is not None
        assert ask(each_views, view, story.bob).rows[0].wrap not in ask(each_views, view, story.bob).sealed[0]
    sealed_to_key = ask(each_views, AskShares(), story.bob, fresh=True).rows[0].wrap
    projector.apply(recorded)
    for view in (AskShares(), AskSpaces()):
        own = ask(each_views, view, story.bob).rows[0].wrap
        assert own is not None
        assert own != sealed_to_key


def test_m21_before_the_terms_are_accepted_the_recipient_has_the_terms_and_nothing_else(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    accepted = next(each.position for each in recorded if each.event.name == "terms-accepted")
    projector = Projector(each_views)
    projector.apply([each for each in recorded if each.position < accepted])
    page = ask(each_views, AskShares(), story.bob, fresh=True)
    (row,) = page.rows
    assert (row.generation, row.claimed, row.wrap, row.accepted) == (2, False, None, None)
    assert page.sealed == ((row.terms,),)
    assert ask(each_views, AskSpaces(), story.bob, fresh=True).rows[0].wrap is None
    own = ask(each_views, AskShares(), story.ann)
    assert own.sealed == ((own.rows[0].content, own.rows[0].wrap),), "the terms are sealed to the recipient"
    projector.apply([each for each in recorded if each.position <= accepted])
    page = ask(each_views, AskShares(), story.bob, fresh=True)
    (row,) = page.rows
    assert row.accepted is not None
    assert page.sealed == ((row.content, row.wrap, row.terms),)
    assert ask(each_views, AskSpaces(), story.bob, fresh=True).rows[0].wrap == row.wrap


def test_m20_after_its_end_a_share_is_shown_and_nothing_of_it_goes_to_the_recipient(
    each_views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    created = next(each for each in recorded if each.event.name == "share-created")
    ending = replace(created, event=replace(created.event, expires=LATER))
    Projector(each_views).apply([each for each in recorded if each.position < created.position] + [ending])
    ask_it = AskShares()
    before = ask(each_views, ask_it, story.bob, at=LATER - timedelta(seconds=1), fresh=True)
    assert before.rows[0].expires == LATER
    assert before.sealed == ((before.rows[0].content, before.rows[0].wrap),)
    after = ask(each_views, ask_it, story.bob, at=LATER, fresh=True)
    assert (after.rows[0].wrap, after.sealed) == (None, ((),))
    assert len(ask(each_views, ask_it, story.ann, at=LATER).sealed[0]) == 2, "its owner has it still"


def test_an_open_invitation_is_offered_to_who_has_its_token(
    views: sa.Engine, story: Story, recorded: Sequence[Positioned]
) -> None:
    invitation = story.invitation
    invited = next(each.position for each in recorded if each.event.name == "connection-invited")
    projector = Projector(views)
    projector.apply([each for each in recorded if each.position <= invited])
    by_link = AskOffer(id=invitation.id, token=invitation.token)
    by_mail = AskOffer(id=invitation.id, token=f"mail-token-of-{invitation.id}")
    for right in (by_link, by_mail):
        (row,) = ask(views, right, story.bob).rows
        assert (row.invitation, row.inviter_address) == (invitation.id, story.ann.address)
        with pytest.raises(InvitationExpired):
            ask(views, right, story.bob, at=LATER)
        assert ask(views, right, story.bob, at=LATER - timedelta(seconds=1)).rows == (row,)
    with pytest.raises(BadToken):
        ask(views, replace(by_link, token="AAAA"), story.bob)
    with pytest.raises(BadToken):
        ask(views, replace(by_link, id=story.share.id), story.bob)
    projector.apply(recorded)
    with pytest.raises(InvitationClosed):
        ask(views, by_link, story.bob)
    with pytest.raises(BadToken):
        ask(views, replace(by_link, token=""), story.bob)


def test_of_a_closed_account_only_the_address_is_left_and_its_invitations_are_closed(each_views: sa.Engine) -> None:
    registered = [
        example(EVENTS["account-registered"]),
        example(EVENTS["address-claimed"], account=BOB.account, address="bob@localhost"),
        example(EVENTS["account-registered"], account=BOB.account, address="bob@localhost"),
    ]
    history = [*registered, example(EVENTS["connection-invited"]), example(EVENTS["account-closed"])]
    happened = [Positioned(n, event.stream, 1, event, meta()) for n, event in enumerate(history, 1)]
    ann, bob = Citizen("ann@localhost"), Citizen("bob@localhost")
    ann.account, bob.account = ANN.account, BOB.account
    offered = AskOffer(id=short_id("invitation"), token=raw("token"))
    projector = Projector(each_views)
    projector.apply(happened[:-1])
    assert len(ask(each_views, offered, bob).rows) == 1
    assert ask(each_views, AskAccount(), ann).rows[0].address == "ann@localhost"

    projector.apply(happened)

    with pytest.raises(InvitationClosed):
        ask(each_views, offered, bob)
    assert [row.status for row in ask(each_views, AskInvitations(), bob).rows] == ["cancelled"]
    with pytest.raises(NotFound):
        ask(each_views, AskAccount(), ann)
    with each_views.connect() as db:
        assert (accounts.devices_of(ANN.account, db), accounts.login_keys(ANN.account, db)) == ({}, None)
        assert len(accounts.chain_of(ANN.account, db)) == 2
    assert ask(each_views, AskAccount(), bob).rows[0].address == "bob@localhost"


def test_m6_the_status_of_an_invitation_is_that_of_now(folded: sa.Engine, story: Story) -> None:
    sent = [row.status for row in ask(folded, AskInvitations(), story.ann).rows]
    assert sorted(sent) == ["accepted", "accepted", "cancelled", "declined"]
    got = ask(folded, AskInvitations(), story.bob).rows
    assert [(row.status, row.incoming, row.note, row.record) for row in got] == [("accepted", True, None, None)]


def test_a_page_of_connections_carries_so_much_of_identity_chains_and_no_more(
    views: sa.Engine, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer's long chain makes pages shorter; it leaves nobody out."""
    ids = [long_id(name) for name in ("one", "two", "three")]
    made = [example(EVENTS["account-registered"], chain=(SignedRecord("A" * 400, (signature("s"),)),) * 4)]
    made += [
        example(EVENTS["connection-established"], connection=id, inviter=side("bob"), acceptor=side("ann"))
        for id in ids
    ]
    Projector(views).apply([Positioned(n, event.stream, 1, event, meta()) for n, event in enumerate(made, 1)])
    bob = replace(story.bob)
    bob.account = BOB.account
    assert len(ask(views, AskConnections(), bob).rows) == 3
    for budget, pages in ((5000, [3]), (3300, [2, 1]), (100, [1, 1, 1])):
        monkeypatch.setattr(connections, "MAX_CHAINS", budget)
        after, found, sizes = 0, [], []
        while True:
            page = ask(views, AskConnections(after=after), bob)
            sizes.append(len(page.rows))
            found += [row.connection for row in page.rows]
            assert all(len(row.peer_chain) == 4 for row in page.rows)
            if not page.more:
                break
            after = page.cursors[-1]
        assert (found, sizes) == (ids, pages)


def test_the_connection_that_somebody_else_made_of_ones_invitation_is_not_shown(views: sa.Engine, story: Story) -> None:
    """Bob has the address, but Eve has accepted."""
    bobs = {"account": BOB.account, "address": "bob@localhost"}
    registered = example(EVENTS["address-claimed"], **bobs), example(EVENTS["account-registered"], **bobs)
    invited = example(EVENTS["connection-invited"], email="bob@localhost")
    for by, shown in ((EVE, None), (BOB, long_id("connection"))):
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        accepted = example(EVENTS["invitation-accepted"], by=by.account)
        events = (*registered, invited, accepted)
        Projector(engine).apply([Positioned(n, event.stream, 1, event, meta()) for n, event in enumerate(events, 1)])
        ann, bob = replace(story.ann), replace(story.bob)
        ann.account, bob.account = ANN.account, BOB.account
        (his,), (hers,) = (ask(engine, AskInvitations(), one).rows for one in (bob, ann))
        assert (his.status, his.connection) == ("accepted", shown)
        assert (hers.status, hers.connection) == ("accepted", long_id("connection"))
        engine.dispose()


# The feed.


def test_every_event_has_an_audience_or_is_known_to_have_none() -> None:
    assert {name for name, type_ in EVENTS.items() if not feed.audience(example(type_))} == UNHEARD


def test_what_concerns_both_sides_is_in_the_feeds_of_both(folded: sa.Engine, story: Story) -> None:
    heard = {
        name: [entry.event for entry in ask(folded, AskFeed(), by).rows]
        for name, by in (("ann", story.ann), ("bob", story.bob), ("eve", story.eve))
    }
    assert "share-created" in heard["ann"]
    assert "share-created" in heard["bob"]
    assert "item-added" not in heard["bob"]
    assert heard["eve"].count("connection-established") == 1
    assert feed.audience(example(EVENTS["share-removed"], by=BOB.account)) == feed.audience(
        example(EVENTS["share-created"])
    )
