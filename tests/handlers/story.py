"""A whole story in signed commands: every kind of event happens, and some things are still there at its end."""

from dataclasses import dataclass

from handlers.opening import Delivery
from privity.crypto.sharing import Conditions, Terms
from privity.crypto.signing import SigningKey
from privity.encoding import digest, new_id
from privity.messages.accounts import ChangePassphrase, Kdf, RenameAccount
from privity.messages.connections import NoteConnection, RemoveConnection
from privity.messages.files import AttachFile, DetachFile
from privity.messages.invitations import CancelInvitation, DeclineInvitation
from privity.messages.items import RemoveItem
from privity.messages.keys import RemoveKeypair
from privity.messages.shares import RemoveShare
from tests.examples import key32
from tests.handlers import clubs, holders, keepers
from tests.handlers.askers import asking
from tests.handlers.delegates import Delegates
from tests.handlers.people import Citizen, Invitation, Shared

TERMS = Terms("for your eyes only", b"s" * 32)


@dataclass(frozen=True)
class Story:
    """What is told, by whom, and what still stands when it is over."""

    ann: Citizen
    bob: Citizen
    eve: Citizen
    invitation: Invitation
    share: Shared
    items: list[str]
    deliveries: list[Delivery]


def tell() -> Story:
    """Ann, Bob and Eve: Bob has a share of Ann's when all is told, and what was between Ann and Eve has ended.

    Dan, whom nobody met, has rotated his keys, was renamed, and has closed his account.
    """
    ann, bob, eve = (Citizen(f"{name}@localhost") for name in ("ann", "bob", "eve"))
    told = [ann.registers(), bob.registers(), eve.registers()]
    told.append(ann.extends({ann.device_id: ann.device.public, new_id(): SigningKey.generate().public}))
    new_kek = b"a new wrap of ann's kek"
    told.append(ann.says(ChangePassphrase(key32("new"), Kdf(64 * 1024, 4, 4), digest(new_kek)), new_kek))
    for each in (ann, bob, eve):
        told += each.stores_key()
    items = sorted(new_id() for _ in range(5))
    told += [ann.adds(item) for item in items]
    told.append(ann.adds(items[0], version=2))

    invitation = ann.invites(bob.address)
    told += [invitation.sent(), invitation.accepted(bob), invitation.confirmed()]
    note = NoteConnection(invitation.connection, invitation.acceptors_note, digest(b"bob's note"))
    told.append(bob.says(note, b"bob's note"))
    share, ended = invitation.shares(ann, bob, items[0], 2), invitation.shares(ann, bob, items[1])
    told += [share.created(), share.claimed(), ended.created(), bob.says(RemoveShare(ended.id))]
    told += [share.revised(Conditions(terms=TERMS, reshare=1)), share.accepted(), share.claimed()]
    told += _files(ann, items[0], share.id)

    with_eve, cancelled, declined = ann.invites(eve.address), ann.invites("x@localhost"), ann.invites(eve.address)
    told += [with_eve.sent(), cancelled.sent(), declined.sent(), with_eve.accepted(eve), with_eve.confirmed()]
    told.append(ann.says(CancelInvitation(cancelled.id)))
    told.append(eve.says(DeclineInvitation(declined.id, declined.token)))
    told.append(with_eve.shares(ann, eve, items[2]).created())
    told += _delegates(ann, bob, eve, invitation, with_eve, items[3], share.id)
    told += asking(ann, bob, eve, invitation.connection, with_eve.connection)
    told += clubs.told(ann, bob, eve, invitation.connection, with_eve.connection)
    told += keepers.told()
    told += holders.told(ann, bob, eve, invitation.connection, with_eve.connection)
    told.append(eve.says(RemoveConnection(with_eve.connection)))
    told.append(ann.says(RemoveItem(items[4])))

    dan, never = Citizen("dan@localhost"), new_id()
    told += [dan.registers(), *dan.stores_key(), dan.adds(never), dan.invites("y@localhost").sent()]
    told += [dan.rotates(), dan.says(RenameAccount("daniel@localhost"))]
    told += [dan.says(RemoveItem(never)), dan.says(RemoveKeypair(dan.key_id)), dan.closes()]
    return Story(ann, bob, eve, invitation, share, items[:4], told)


def _files(ann: Citizen, item: str, share: str) -> list[Delivery]:
    """A file of an item, and of a share one that stays and one that goes."""
    told, gone = [], new_id()
    for of, file in ((item, new_id()), (share, new_id()), (share, gone)):
        content = f"a file of {of}: {file}".encode()
        told.append(ann.says(AttachFile(of, file, digest(content)), content))
    return [*told, ann.says(DetachFile(share, gone))]


def _delegates(
    ann: Citizen, bob: Citizen, eve: Citizen, over: Invitation, with_eve: Invitation, item: str, share: str
) -> list[Delivery]:
    """Bob is a delegate of Ann's, wrote in her name and gave an instruction, and another that waits; Eve was one."""
    of_ann, written = Delegates(ann), new_id()
    told = [of_ann.granted(bob, "admin", over.connection), of_ann.kept(ann, item, version=2), of_ann.claimed(bob)]
    told += [of_ann.kept(bob, written), of_ann.kept(bob, item, version=3), of_ann.dropped(bob, written)]
    told += [of_ann.instructed(bob), of_ann.answered(1, share), of_ann.instructed(bob)]
    return [*told, of_ann.granted(eve, "reader", with_eve.connection), of_ann.removed(eve), of_ann.claimed(bob)]
