"""The kit bound to our aggregates: each command with the states that its handler loads and the facts that it finds."""

from dataclasses import replace
from typing import Any

from domain import (
    account,
    connection,
    delegation,
    file,
    grant,
    instruction,
    invitation,
    item,
    key,
    key_audit,
    location,
    piece,
    read,
    request,
    share,
    sharing_key,
    supplier,
)
from domain.aggregates import EVOLVE, KINDS
from domain.facts import Actor
from domain.invitation import Acceptance
from privity.encoding import digest, unb64
from privity.messages.accounts import (
    ChangePassphrase,
    CloseAccount,
    ExtendIdentity,
    IdentityHead,
    RegisterAccount,
    RenameAccount,
    RotateIdentity,
)
from privity.messages.base import Command, Event
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.delegations import (
    ClaimDelegation,
    DropItem,
    GrantDelegation,
    KeepItem,
    RemoveDelegation,
)
from privity.messages.files import AttachFile, DetachFile
from privity.messages.grants import AnswerAudit, AskAudit, BeginGrant, TakeGrantStep
from privity.messages.groups import AdvanceGroup, ClaimGroup, LeaveGroup, PostToGroup, StageGroup, WithdrawPost
from privity.messages.instructions import AnswerInstruction, GiveInstruction
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    DeclineInvitation,
    InviteConnection,
)
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import PublishPublicKey, RemoveKeypair, StoreKeypair
from privity.messages.locations import ChangeLocation, CreateLocation, RemoveLocation
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    SetPiece,
    SetRules,
    StorePiece,
    WithdrawRequest,
)
from privity.messages.reads import RecordKeyringFetched, RecordKeyringRefused, RecordShareFetched
from privity.messages.shares import AcceptTerms, ClaimShare, CreateShare, RemoveShare, ReviseShare
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    RestoreSharingKey,
    RotateSharingKey,
    SendPublicPart,
)
from privity.messages.suppliers import AnnounceSupplier, ReplaceSupplier
from privity.testing.given import Deciders, Load
from tests.domain.grouping import decide_group
from tests.examples import ANN, BOB, SUPPLIERS, line_of, long_id, sealed, short_id


def pair_of(one: str, other: str) -> str:
    """The id of two people's pair, whichever comes first."""
    both = {one, other}
    return sealed("pair") if both == {ANN.account, BOB.account} else sealed("-".join(sorted(both)))


def read_of(what: str, by: Actor, object: str) -> str:
    """The id of what somebody read in this hour."""
    return short_id("read" if object == short_id("share") else f"{what} {by.account} {object} {by.at:%Y%m%d%H}")


def decide(command: Command, load: Load, by: Actor, **facts: Any) -> list[Event]:
    """What follows from a command; `facts` are what a handler would find out with keys and tokens."""
    match command:
        case RegisterAccount() | ExtendIdentity() | RotateIdentity() | ChangePassphrase() | CloseAccount():
            return _account(command, load, by, **facts)
        case RenameAccount():
            return _account(command, load, by, **facts)
        case StoreKeypair(key=id) | PublishPublicKey(key=id) | RemoveKeypair(key=id):
            return key.decide(command, load(key.State, id), by)
        case AddItem(item=id) | EditItem(item=id):
            return item.decide(command, load(item.State, id), by, taken=bool(load(share.State, id).owner))
        case RemoveItem(item=id):
            state_of_item = load(item.State, id)
            return item.decide(command, state_of_item, by, files=load(file.State, id).sealed_of(state_of_item.owner))
        case AttachFile(of=id) | DetachFile(of=id):
            given_away = load(share.State, id)
            whose = {"item": load(item.State, id), "share": given_away}
            over = load(connection.State, given_away.connection) if given_away.connection else connection.State()
            return file.decide(command, load(file.State, id), by, **whose, over=over)
        case GrantDelegation() | ClaimDelegation() | RemoveDelegation() | KeepItem() | DropItem():
            return _delegation(command, load, by, **facts)
        case GiveInstruction() | AnswerInstruction():
            return _instruction(command, load, by)
        case InviteConnection() | CancelInvitation() | DeclineInvitation() | AcceptInvitation():
            return _invitation(command, load, by, **facts)
        case ConfirmConnection(connection=id) | NoteConnection(connection=id) | RemoveConnection(connection=id):
            state = load(connection.State, id)
            pair = pair_of(state.inviter, state.acceptor)
            return connection.decide(command, state, by, acceptance=digest(unb64(state.acceptance)), pair=pair)
        case CreateShare() | ReviseShare() | AcceptTerms() | ClaimShare() | RemoveShare():
            return _share(command, load, by, **facts)
        case SetPiece() | RegrantPiece() | StorePiece() | ReleaseReader() | RemovePiece():
            return _piece(command, load, by)
        case RequestPiece() | ApproveRequest() | DeclineRequest() | WithdrawRequest() | SetRules():
            return _request(command, load, by)
        case BeginGrant() | TakeGrantStep() | AskAudit() | AnswerAudit():
            return _grant(command, load, by, **facts)
        case StageGroup() | AdvanceGroup() | ClaimGroup() | LeaveGroup() | PostToGroup() | WithdrawPost():
            return decide_group(command, load, by, **facts)
        case CreateSharingKey() | GrantSharingKey() | RotateSharingKey():
            return _sharing_key(command, load, by, **facts)
        case ClaimSharingKey(key=id) | RestoreSharingKey(key=id):
            return sharing_key.decide_claim(command, load(sharing_key.State, id), by)
        case NoteSharingKey(key=id):
            return sharing_key.decide_note(command, load(sharing_key.State, id), by)
        case SendPublicPart(key=id, connection=over_id):
            joined = load(connection.State, over_id)
            state, line = load(sharing_key.State, id), _keyline(over_id, load, by)
            return sharing_key.decide_send_public(command, state, by, connection=joined, line=line)
        case EraseSharingKey(key=id):
            used = load(location.State, id).stands
            return sharing_key.decide_erase(command, load(sharing_key.State, id), by, **{"used": used} | facts)
        case AnnounceSupplier(name=name):
            holder = load(supplier.NameState, name).supplier
            other = load(supplier.State, holder) if holder else supplier.State()
            return supplier.decide(command, load(supplier.State, by.account), by, other=other, holder=holder)
        case ReplaceSupplier(lost=lost):
            return supplier.decide(command, load(supplier.State, by.account), by, other=load(supplier.State, lost))
        case CreateLocation() | ChangeLocation() | RemoveLocation():
            return _location(command, load, by, **facts)
        case RecordShareFetched(share=id):
            shared, read_id = load(share.State, id), read_of("share", by, id)
            state = load(read.State, read_id)
            return read.decide(command, state, by, read=read_id, owner=shared.owner, recipient=shared.recipient)
        case RecordKeyringFetched() | RecordKeyringRefused():
            read_id = read_of(type(command).__name__, by, "keyring")
            return read.decide(command, load(read.State, read_id), by, read=read_id)
    raise NotImplementedError(type(command).__name__)


def piece_of(owner: str, name: str) -> str:
    """The id of what somebody keeps under a name."""
    return short_id("piece") if (owner, name) == (ANN.account, "phone") else short_id(f"{name} of {owner}")


def request_of(owner: str, asker: str, name: str) -> str:
    """The id under which somebody asks somebody for a piece."""
    same = (owner, asker, name) == (ANN.account, BOB.account, "phone")
    return short_id("request") if same else short_id(f"{name} of {owner} for {asker}")


def _piece(command: Command, load: Load, by: Actor) -> list[Event]:
    match command:
        case SetPiece(piece_name=name):
            command = replace(command, piece=piece_of(by.account, name))
            state = load(piece.State, command.piece)
            return piece.decide_set(command, state, by, connections=_over(state, load))
        case RegrantPiece(piece=id):
            state = load(piece.State, id)
            return piece.decide_regrant(command, state, by, connections=_over(state, load))
        case StorePiece(piece=id):
            state = load(piece.State, id)
            reader = state.readers.get(by.account)
            over = load(connection.State, reader.connection) if reader else connection.State()
            return piece.decide_store(command, state, by, connection=over)
        case ReleaseReader(piece=id, reader=whom):
            state = load(piece.State, id)
            asked = load(request.State, request_of(state.owner, whom, state.name))
            return piece.decide_release(command, state, by, request=asked)
        case RemovePiece(piece=id):
            return piece.decide_remove(command, load(piece.State, id), by)
    raise NotImplementedError(type(command).__name__)


def _over(state: piece.State, load: Load) -> dict[str, connection.State]:
    return {reader: load(connection.State, grant.connection) for reader, grant in state.readers.items()}


def _request(command: Command, load: Load, by: Actor) -> list[Event]:
    match command:
        case RequestPiece(owner=owner, piece_name=name, connection=over):
            command = replace(command, request=request_of(owner, by.account, name))
            state, kept = load(request.State, command.request), load(piece.State, piece_of(owner, name))
            return request.decide_create(command, state, by, connection=load(connection.State, over), piece=kept)
        case ApproveRequest(request=id):
            state = load(request.State, id)
            over, kept_as = load(connection.State, state.connection), piece_of(state.owner, state.name)
            kept = load(piece.State, kept_as)
            return request.decide_approve(command, state, by, connection=over, piece=kept, id=kept_as, most=2)
        case DeclineRequest(request=id):
            return request.decide_decline(command, load(request.State, id), by)
        case WithdrawRequest(request=id):
            return request.decide_withdraw(command, load(request.State, id), by)
        case SetRules():
            return request.decide_rules(command, load(request.RulesState, by.account), by)
    raise NotImplementedError(type(command).__name__)


def _grant(command: Command, load: Load, by: Actor, *, holds: bool = False, newest: int = 1, n: int = 1) -> list[Event]:
    match command:
        case BeginGrant(grant=id, connection=over):
            state, joined = load(grant.State, id), load(connection.State, over)
            return grant.decide_begin(command, state, by, connection=joined, creator=ANN.account, n=n, holds=holds)
        case TakeGrantStep(grant=id):
            return grant.decide_step(command, load(grant.State, id), by, holds=holds)
        case AskAudit(connection=over):
            asked, joined = load(key_audit.State, by.account), load(connection.State, over)
            return key_audit.decide_ask(command, asked, by, connection=joined, newest=newest)
        case AnswerAudit(asker=asker):
            state_of_asker = load(key_audit.State, asker)
            over = key_audit.asked_of(state_of_asker, command, by).connection
            joined, closed = load(connection.State, over), load(account.State, asker).closed
            return key_audit.decide_answer(command, state_of_asker, by, connection=joined, closed=closed)
    raise NotImplementedError(type(command).__name__)


def _keyline(connection_id: str, load: Load, by: Actor) -> sharing_key.Line:
    id = line_of(connection_id, by.account)
    return sharing_key.Line(id, load(sharing_key.LineState, id))


def _sharing_key(
    command: CreateSharingKey | GrantSharingKey | RotateSharingKey,
    load: Load,
    by: Actor,
    holders: tuple[str, ...] | None = None,
    **said: Any,
) -> list[Event]:
    """The record says what the command does, unless a test wants it otherwise."""
    state, named = load(sharing_key.State, command.key), digest(unb64(command.record))
    who = set(state.holders)
    match command:
        case CreateSharingKey():
            record = sharing_key.Said(named, 1, 1, holders or (), follows=True)
            return sharing_key.decide_create(command, state, by, said=replace(record, **said))
        case GrantSharingKey(to=to, n=n):
            holding = tuple(sorted({*who, to})) if holders is None else holders
            record = sharing_key.Said(named, n, state.generation, holding, follows=True)
            joined = load(connection.State, command.connection)
            line = _keyline(command.connection, load, by)
            said_ = replace(record, **said)
            return sharing_key.decide_grant(command, state, by, said=said_, connection=joined, line=line)
    staying = sorted(who - set(command.dropped)) if holders is None else holders
    over = {one: load(connection.State, state.held[one].connection) for one in who}
    record = sharing_key.Said(named, command.n, command.generation, tuple(staying), follows=True)
    return sharing_key.decide_rotate(command, state, by, said=replace(record, **said), connections=over)


def _account(
    command: Command, load: Load, by: Actor, head: IdentityHead | None = None, *, recovered: bool = False
) -> list[Event]:
    if not isinstance(command, RegisterAccount | RenameAccount):
        kept = load(key_audit.State, by.account).sealed if isinstance(command, CloseAccount) else ()
        return account.decide(command, load(account.State, by.account), by, head=head, recovered=recovered, kept=kept)
    token = digest(command.address.encode())
    holder = load(account.AddressState, token)
    return account.decide(command, load(account.State, by.account), by, head=head, holder=holder, token=token)


def _invitation(command: Command, load: Load, by: Actor, *, token_ok: bool = True) -> list[Event]:
    state: invitation.State
    match command:
        case InviteConnection(invitation=id, key=used):
            state = load(invitation.State, id)
            return invitation.decide_invite(command, state, by, key=load(key.State, used), address="ann@localhost")
        case CancelInvitation(invitation=id):
            return invitation.decide_cancel(command, load(invitation.State, id), by)
        case DeclineInvitation(invitation=id):
            state = load(invitation.State, id)
            return invitation.decide_decline(command, state, by, Acceptance(token_ok, gone=_gone(state, load)))
        case AcceptInvitation(invitation=id, key=used):
            state = load(invitation.State, id)
            pair = pair_of(by.account, state.inviter.account if state.inviter else "")
            made = long_id("connection" if id == short_id("invitation") else f"connection of {id}")
            return invitation.decide_accept(
                command,
                state,
                by,
                Acceptance(token_ok, made, pair, _gone(state, load)),
                key=load(key.State, used),
                pair=load(connection.PairState, pair),
                address="bob@localhost",
            )
    raise NotImplementedError(type(command).__name__)


def _gone(state: invitation.State, load: Load) -> bool:
    return state.inviter is not None and load(account.State, state.inviter.account).closed


def _delegation(
    command: Any, load: Load, by: Actor, place: tuple[int, str | None] | None = None, vault_key: str = ""
) -> list[Event]:
    vault = load(delegation.State, command.principal)
    vault_key = vault_key or (digest(b"vault key 2") if isinstance(command, RemoveDelegation) else digest(b"vault key"))
    over_id = vault.connection_of(by.account)
    over = load(connection.State, over_id) if over_id else connection.State()
    if isinstance(command, KeepItem | DropItem):
        state = load(item.State, command.item)
        files = load(file.State, command.item).sealed_of(state.owner)
        taken = bool(load(share.State, command.item).owner)
        return item.decide_kept(command, state, by, vault=vault, over=over, files=files, taken=taken)
    signed = None
    if not isinstance(command, ClaimDelegation):
        signed = delegation.Place(*place or (vault.n + 1, vault.head), digest(unb64(command.record)), vault_key)
    joined = load(connection.State, command.connection) if isinstance(command, GrantDelegation) else over
    return delegation.decide(command, vault, by, over=over, connection=joined, place=signed)


def _location(
    command: CreateLocation | ChangeLocation | RemoveLocation,
    load: Load,
    by: Actor,
    *,
    suppliers: tuple[str, ...] = SUPPLIERS,
    written: location.Written | None = None,
    size: int = 1000,
) -> list[Event]:
    key_, state = load(sharing_key.State, command.location), load(location.State, command.location)
    access = location.Access() if key_.ended else location.Access(key_.creator, key_.generation, key_.holders)
    if isinstance(command, CreateLocation):
        return location.decide_create(command, state, by, access=access, suppliers=suppliers)
    if isinstance(command, RemoveLocation):
        return location.decide_remove(command, state, by, access=access)
    named = digest(unb64(command.manifest))
    written = written or location.Written(named, state.n + 1, state.head, command.generation)
    return location.decide_change(command, state, by, access=access, written=written, size=size)


def _instruction(command: GiveInstruction | AnswerInstruction, load: Load, by: Actor) -> list[Event]:
    if isinstance(command, AnswerInstruction):
        return instruction.decide_answer(command, load(instruction.State, by.account), by)
    vault = load(delegation.State, command.principal)
    over = vault.connection_of(by.account)
    return instruction.decide_give(
        command,
        load(instruction.State, command.principal),
        by,
        vault=vault,
        over=load(connection.State, over) if over else connection.State(),
        digest=digest(unb64(command.record)),
    )


def _share(command: Command, load: Load, by: Actor, link: tuple[int, str | None] | None = None) -> list[Event]:
    match command:
        case CreateShare(source=source):
            state, place = _place(command, command.connection, load, by, link)
            return share.decide_create(
                command,
                load(share.State, command.share),
                by,
                space=load(share.SpaceState, command.space),
                connection=load(connection.State, command.connection),
                item=load(item.State, command.item),
                **_source_of(source, load),
                line=state,
                link=place,
                taken=bool(load(item.State, command.share).owner),
            )
        case ReviseShare(share=id):
            shared = load(share.State, id)
            state, place = _place(command, shared.connection, load, by, link)
            return share.decide_revise(
                command,
                shared,
                by,
                connection=load(connection.State, shared.connection),
                item=load(item.State, shared.item),
                **_source_of(shared.source, load),
                line=state,
                link=place,
            )
        case AcceptTerms(share=id):
            shared = load(share.State, id)
            return share.decide_accept(command, shared, by, connection=load(connection.State, shared.connection))
        case ClaimShare(share=id):
            shared = load(share.State, id)
            return share.decide_claim(command, shared, by, connection=load(connection.State, shared.connection))
        case RemoveShare(share=id):
            shared = load(share.State, id)
            return share.decide_remove(command, shared, by, files=load(file.State, id).sealed_of(shared.owner))
    raise NotImplementedError(type(command).__name__)


def _source_of(id: str | None, load: Load) -> dict[str, Any]:
    if id is None:
        return {}
    source = load(share.State, id)
    return {"source": source, "source_over": load(connection.State, source.connection)}


def _place(
    command: CreateShare | ReviseShare, over: str, load: Load, by: Actor, link: tuple[int, str | None] | None
) -> tuple[share.LineState, share.Link]:
    line = line_of(over, by.account)
    state = load(share.LineState, line)
    n, prev = link or (state.n + 1, state.head)
    return state, share.Link(line, n, prev, digest(unb64(command.manifest)))


given = Deciders(KINDS, EVOLVE, decide)
