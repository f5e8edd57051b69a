"""Whether a sharing key that was there is over: its creator ended it or dropped one, or one gave it up oneself.

What the feed says of it is the home's word; the log has the command.
"""

from privity.agent.chains import Heads, follow, signed_chain
from privity.agent.key_records import CREATOR, KEY
from privity.agent.log import Evidence, check_signer, evidence
from privity.agent.memory import Seen
from privity.agent.session import Session
from privity.errors import NotFound, NotInLog, Withheld

OVER = "sharing-key-over"
"""What is remembered: at which position a key ended for oneself, as was proven."""
ERASED, ROTATED = "sharing-key-erased", "sharing-key-rotated"


async def check_ended(session: Session, seen: Seen) -> None:
    """Returns if the log shows that a key, which is not served any more, is over for oneself; that is remembered.

    Raises:
        Withheld: nobody said that it is over.
        NotInLog, ForgedRecord: the backend has no evidence for it, or somebody else's.
    """
    over = session.memory.seen(OVER, seen.id)
    if seen.proven or (over is not None and over.version == seen.ended):
        return
    if not seen.ended:
        raise Withheld(f"The backend leaves out sharing key {seen.id}, which was there before.")
    try:
        shown = await evidence(session, seen.ended)
    except NotFound:
        raise NotInLog(f"The backend has no evidence that sharing key {seen.id} has ended.") from None
    by = _ended_by(session, seen, shown)
    follow(Heads(session.memory), shown.chain, by, by)
    check_signer(shown, {by: signed_chain(shown.chain)}, session.server)
    if by == session.account and session.account == _creator(session, seen):
        session.memory.ended(KEY, seen.id, seen.ended)
    session.memory.saw(OVER, seen.id, seen.ended)


def _ended_by(session: Session, seen: Seen, shown: Evidence) -> str:
    creator = _creator(session, seen)
    if shown.says(ERASED, key=seen.id, by=creator, whole=True):
        return creator
    if shown.says(ERASED, key=seen.id, by=session.account, whole=False):
        return session.account
    dropped = shown.event.get("dropped")
    if shown.says(ROTATED, key=seen.id, by=creator) and isinstance(dropped, list) and session.account in dropped:
        return creator
    raise Withheld(f"The log has something else where sharing key {seen.id} is said to have ended.")


def _creator(session: Session, seen: Seen) -> str:
    named = session.memory.seen(CREATOR, seen.id)
    return named.digest if named is not None else session.account
