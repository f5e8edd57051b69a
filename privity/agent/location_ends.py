"""Whether a location that was there is over: only its creator ends it, and the log has the command."""

from privity.agent.chains import Heads, follow, signed_chain
from privity.agent.log import check_signer, evidence
from privity.agent.memory import Seen
from privity.agent.session import Session
from privity.errors import NotFound, NotInLog, Withheld


async def check_ended(session: Session, seen: Seen, creator: str, name: str) -> None:
    """Returns if the log has the end of a location that is not served any more, by who made it; that is remembered.

    `name` is how the person calls the creator.

    Raises:
        Withheld: nobody said that it is over.
        NotInLog, ForgedRecord: the backend has no evidence for it, or somebody else's.
    """
    if not seen.ended:
        raise Withheld(f"The backend leaves out location {seen.id}, which was there before.")
    try:
        shown = await evidence(session, seen.ended)
    except NotFound:
        raise NotInLog(f"The backend has no evidence that location {seen.id} has ended.") from None
    if not shown.says("location-removed", location=seen.id, by=creator):
        raise Withheld(f"The log has something else where location {seen.id} is said to have ended.")
    follow(Heads(session.memory), shown.chain, creator, name)
    check_signer(shown, {creator: signed_chain(shown.chain)}, session.server)
    session.memory.ended(seen.kind, seen.id, seen.ended)
