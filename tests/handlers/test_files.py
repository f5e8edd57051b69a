"""Files as the handlers decide about them: what they hang on is found by its id alone."""

from dataclasses import replace

from handlers.committer import Committer
from handlers.opening import Delivery
from privity.encoding import digest, new_id
from privity.messages.connections import RemoveConnection
from privity.messages.files import AttachFile
from tests.handlers.delegates import Delegates
from tests.handlers.people import Citizen, Invitation, Shared


def codes(committer: Committer, *deliveries: Delivery) -> list[str | None]:
    """How each is refused; None if it is not."""
    return [outcome.result.code if outcome.result else "no result" for outcome in committer.process(deliveries)]


def attaching(by: Citizen, of: str) -> Delivery:
    """A file of something."""
    content = f"a file of {of} by {by.account}".encode()
    return by.says(AttachFile(of, new_id(), digest(content)), content)


def test_nobody_gets_at_the_files_of_another_by_giving_the_same_id_to_something_of_their_own(
    committer: Committer,
) -> None:
    ann, bob = Citizen("ann@localhost"), Citizen("bob@localhost")
    item, bobs = new_id(), new_id()
    invitation: Invitation = ann.invites(bob.address)
    told = [ann.registers(), bob.registers(), *ann.stores_key(), *bob.stores_key(), ann.adds(item), bob.adds(bobs)]
    told += [invitation.sent(), invitation.accepted(bob), invitation.confirmed()]
    of_ann, of_bob = invitation.shares(ann, bob, item), Delegates(bob)
    told += [of_ann.created(), of_bob.granted(ann, "reader", invitation.connection)]
    assert codes(committer, *told, attaching(ann, of_ann.id)) == [None] * (len(told) + 1)

    share: Shared = invitation.shares(bob, ann, bobs)
    assert codes(committer, replace(share, id=item).created()) == ["AlreadyExists"]
    assert codes(committer, bob.adds(of_ann.id), of_bob.kept(bob, of_ann.id)) == ["AlreadyExists", "AlreadyExists"]
    assert codes(committer, attaching(bob, item), attaching(bob, of_ann.id)) == ["NotFound", "NotFound"]
    assert codes(committer, bob.adds(new_id()), of_bob.kept(bob, new_id())) == [None, None]

    ended = [ann.says(RemoveConnection(invitation.connection)), attaching(ann, of_ann.id), attaching(ann, item)]
    assert codes(committer, *ended) == [None, "NotConnected", None]
