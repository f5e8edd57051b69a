"""Rules: what others said is said again by who may not, and an id is used twice."""

from hypothesis.stateful import precondition, rule

from privity.messages.accounts import CloseAccount, RegisterAccount
from privity.messages.connections import ConfirmConnection, NoteConnection
from privity.messages.delegations import DropItem, GrantDelegation, KeepItem, RemoveDelegation
from privity.messages.files import AttachFile, DetachFile
from privity.messages.grants import AnswerAudit, AskAudit
from privity.messages.groups import AdvanceGroup, PostToGroup, StageGroup, WithdrawPost
from privity.messages.invitations import AcceptInvitation, CancelInvitation, InviteConnection
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey, RemoveKeypair, StoreKeypair
from privity.messages.locations import ChangeLocation, CreateLocation, RemoveLocation
from privity.messages.pieces import ApproveRequest, DeclineRequest, RegrantPiece, RemovePiece, RequestPiece, SetPiece
from privity.messages.shares import AcceptTerms, ClaimShare, CreateShare, ReviseShare
from privity.messages.sharing_keys import CreateSharingKey, GrantSharingKey, NoteSharingKey, RotateSharingKey
from tests.simulation.system import sealed_behind
from tests.simulation.talking import Talking, never, people, some

OWN = (
    *(RegisterAccount, CloseAccount, StoreKeypair, PublishPublicKey, RemoveKeypair),
    *(InviteConnection, CancelInvitation, AcceptInvitation, ConfirmConnection),
    *(AddItem, EditItem, RemoveItem, AttachFile, DetachFile),
    *(CreateShare, ReviseShare, AcceptTerms, ClaimShare),
    *(StageGroup, AdvanceGroup, PostToGroup, WithdrawPost),
    *(SetPiece, RegrantPiece, RemovePiece, RequestPiece, ApproveRequest, DeclineRequest),
    *(CreateSharingKey, GrantSharingKey, RotateSharingKey, CreateLocation, ChangeLocation, RemoveLocation),
    *(NoteConnection, NoteSharingKey, AskAudit, AnswerAudit),
    *(GrantDelegation, RemoveDelegation, KeepItem, DropItem),
)
"""What, once it was accepted, nobody else may say in the same words."""


class Attacking(Talking):
    """Accepted words are known to the home, and perhaps to others."""

    @precondition(lambda self: self.world.said)
    @rule(n=some, thief=people)
    def somebody_else_says(self, n: int, thief: str) -> None:
        """Rightly signed, by the wrong one."""
        said = self.world.said[-1 - n % len(self.world.said)]
        if said.verdict == "accepted" and isinstance(said.command, OWN) and thief != said.by:
            command = self.person(thief).says(said.command, *sealed_behind(said.delivery))
            registers = isinstance(said.command, RegisterAccount)  # and what it names is not the thief's device
            self.world.say(thief, command, lambda _: "refused", known=never if registers else None)

    @precondition(lambda self: self.world.said)
    @rule(n=some)
    def uses_id_again(self, n: int) -> None:
        """Other words under the id of a command that was decided."""
        said = self.world.said[-1 - n % len(self.world.said)]
        if said.by in self.model.heads:
            self.world.reuses(said)
