"""Decisions about audits of keys."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import key_audit
from domain.facts import Actor
from domain.key_audit import AN_HOUR, MAX_AN_HOUR, MAX_OPEN, OPEN_FOR
from privity.errors import AlreadyExists, AuditClosed, Malformed, NotConnected, NotFound, TooManyAudits
from privity.messages.accounts import AccountClosed, AccountRegistered, CloseAccount
from privity.messages.connections import ConnectionEstablished, ConnectionRemoved
from privity.messages.grants import AnswerAudit, AskAudit, AuditAnswered, AuditAsked
from tests.domain.deciding import given
from tests.examples import ANN, BOB, EVE, NOW, erased, example, long_id, sealed, short_id

CONNECTED, ASKED = example(ConnectionEstablished), example(AuditAsked)
ASK, ANSWER, ANSWERED = example(AskAudit), example(AnswerAudit), example(AuditAnswered)
PRIVATE: dict[str, Any] = {"challenge": sealed("challenge")}
PROOF: dict[str, Any] = {"held": None, "answer": sealed("answer")}
BOTH = (ANN, BOB)


def later(by: Actor, after: timedelta) -> Actor:
    """Somebody, after so long."""
    return replace(by, at=NOW + after)


def asked(number: int, **changes: Any) -> AuditAsked:
    """One of many audits."""
    return example(AuditAsked, audit=short_id(f"audit {number}"), **changes)


def answered(number: int, **changes: Any) -> AuditAnswered:
    """Its answer."""
    return example(AuditAnswered, audit=short_id(f"audit {number}"), **changes)


def test_b9_a_connected_person_is_asked_once_and_answers_once() -> None:
    after = given(CONNECTED).when(ASK, by=ANN).then(ASKED)
    after.when(ASK, by=ANN).then(AlreadyExists("there is an audit with this id already"))
    after = after.when(ANSWER, by=BOB).then(ANSWERED)
    after.when(ANSWER, by=BOB).then(AuditClosed)


def test_b10_an_answer_takes_the_place_of_the_challenge() -> None:
    ask = example(AskAudit, kind="private", **PRIVATE)
    after = given(CONNECTED).when(ask, by=ANN).then(example(AuditAsked, audited="private", **PRIVATE))
    proven = example(AuditAnswered, **PROOF)
    gone = erased(short_id("audit"), sealed("challenge"), of=BOTH)
    after.when(example(AnswerAudit, **PROOF), by=BOB).then(proven, gone)
    none = {"verdict": "not-registered", "held": None}
    after.when(example(AnswerAudit, **none), by=BOB).then(example(AuditAnswered, **none), gone)


def test_of_a_key_only_who_made_or_holds_it_asks_and_of_a_generation_that_there_is() -> None:
    for newest, generation in ((0, 1), (1, 2)):
        ask = example(AskAudit, generation=generation)
        given(CONNECTED).when(ask, by=ANN, newest=newest).then(NotFound)
    given(CONNECTED).when(example(AskAudit, key=None), by=ANN, newest=0).then(example(AuditAsked, key=None))


@pytest.mark.parametrize(
    "changes",
    [{"kind": "private"}, PRIVATE, {"key": None, "generation": 2}, {"key": None, "kind": "private", **PRIVATE}],
    ids=["private without challenge", "public with one", "a later identity", "an identity's private part"],
)
def test_only_what_can_be_answered_is_asked(changes: dict[str, Any]) -> None:
    given(CONNECTED).when(example(AskAudit, **changes), by=ANN, newest=2).then(Malformed)


def test_strangers_ask_nothing_and_answer_nothing() -> None:
    given().when(ASK, by=ANN).then(NotConnected)
    given(CONNECTED).when(ASK, by=EVE).then(NotConnected)
    given(CONNECTED, example(ConnectionRemoved)).when(ASK, by=ANN).then(NotConnected)
    given(CONNECTED, ASKED).when(ANSWER, by=EVE).then(NotFound("there is no such audit"))
    given(CONNECTED, ASKED, example(ConnectionRemoved)).when(ANSWER, by=BOB).then(NotConnected)


@pytest.mark.parametrize(
    "changes",
    [{"held": None}, {"answer": sealed("answer")}, {"verdict": "not-registered"}],
    ids=["nothing", "too much", "neither"],
)
def test_an_answer_says_just_what_was_asked(changes: dict[str, Any]) -> None:
    given(CONNECTED, ASKED).when(example(AnswerAudit, **changes), by=BOB).then(Malformed)


def test_u8_so_many_wait_at_a_time_and_nobody_blocks_another_by_silence() -> None:
    """Of more, the oldest goes, with its challenge."""
    key = example(AuditAsked, audit=short_id("audit 0"), of=EVE.account, audited="private", **PRIVATE)
    waiting = [key, *(asked(number, of=EVE.account, key=long_id(f"key {number}")) for number in range(1, MAX_OPEN))]
    first = (short_id("audit 0"),)
    gone = erased(*first, sealed("challenge"), of=(ANN, EVE))
    given(CONNECTED, *waiting).when(ASK, by=ANN).then(example(AuditAsked, forgotten=first), gone)
    given(CONNECTED, *waiting, answered(1)).when(ASK, by=ANN).then(ASKED)
    over = later(ANN, OPEN_FOR)
    old = tuple(each.audit for each in waiting)
    given(CONNECTED, *waiting).when(ASK, by=over).then(example(AuditAsked, at=over.at, forgotten=old), gone)


def test_who_asks_the_same_again_is_answered_once() -> None:
    other = {"audited": "private", "challenge": sealed("other")}
    given(CONNECTED, asked(1)).when(ASK, by=ANN).then(example(AuditAsked, forgotten=(short_id("audit 1"),)))
    for another in (asked(1, of=EVE.account), asked(1, key=None), asked(1, **other)):
        given(CONNECTED, another).when(ASK, by=ANN).then(ASKED)
    given(CONNECTED, asked(1), answered(1)).when(ASK, by=ANN).then(ASKED)
    given(CONNECTED, asked(1), example(AuditAsked, forgotten=(short_id("audit 1"),))).when(
        example(AnswerAudit, audit=short_id("audit 1")), by=BOB
    ).then(NotFound("there is no such audit"))


def test_an_audit_ends_with_the_account_of_who_asked() -> None:
    registered = example(AccountRegistered)
    private = example(AuditAsked, audited="private", **PRIVATE)
    closing = given(registered, CONNECTED, private).when(example(CloseAccount), by=ANN)
    wraps = [registered.kek, registered.kek_recovery, registered.identity]
    closed = closing.then(
        example(AccountClosed),
        erased(ANN.account, *wraps, of=(ANN,)),
        erased(ANN.account, sealed("challenge"), of=(ANN,)),
    )
    closed.when(example(AnswerAudit, **PROOF), by=BOB).then(AuditClosed)


def test_u8_so_many_are_asked_an_hour_also_of_what_is_forgotten() -> None:
    again = [asked(0), *(asked(number, forgotten=(short_id(f"audit {number - 1}"),)) for number in range(1, 60))]
    given(CONNECTED, *again).when(ASK, by=ANN).then(TooManyAudits)
    many = [each for number in range(MAX_AN_HOUR) for each in (asked(number), answered(number))]
    soon = later(ANN, AN_HOUR - timedelta(seconds=1))
    given(CONNECTED, *many).when(ASK, by=soon).then(TooManyAudits)
    after = given(CONNECTED, *many).when(ASK, by=later(ANN, AN_HOUR))
    forgotten = tuple(short_id(f"audit {number}") for number in range(MAX_AN_HOUR))
    after = after.then(example(AuditAsked, at=NOW + AN_HOUR, forgotten=forgotten))
    assert set(after.load(key_audit.State, ANN.account).audits) == {short_id("audit")}


def test_what_is_forgotten_is_erased_and_what_waited_too_long_is_not_answered() -> None:
    private = asked(1, audited="private", **PRIVATE)
    answer = answered(1, **PROOF)
    gone = erased(short_id("audit 1"), sealed("answer"), of=BOTH)
    forgetting = example(AuditAsked, at=NOW + AN_HOUR, forgotten=(short_id("audit 1"),))
    given(CONNECTED, private, answer).when(ASK, by=later(ANN, AN_HOUR)).then(forgetting, gone)
    given(CONNECTED, ASKED).when(ANSWER, by=later(BOB, OPEN_FOR)).then(AuditClosed)
    given(CONNECTED, ASKED).when(ANSWER, by=later(BOB, OPEN_FOR - AN_HOUR)).then(ANSWERED)


def test_what_is_kept_there_is_sealed_anew() -> None:
    private = asked(1, audited="private", **PRIVATE)
    again = example(AskAudit, kind="private", **PRIVATE)
    given(CONNECTED, private).when(again, by=ANN).then(AlreadyExists)
