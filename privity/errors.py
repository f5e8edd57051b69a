"""Every error of Privity: its class name is the stable code in results, logs and on the command line.

PrivityError
├── Refusal            the backend or the agent will not do it (exit 1)
│   ├── Malformed · UnknownCommand · UnknownView · TooLarge · BadSignature · UnknownDevice · CommandIdReused
│   ├── NotFound · KeyNotFound · InvitationExpired · InvitationClosed · AddressTaken · AccountExists · ...
├── IntegrityAlarm     something was tampered with (exit 3)
└── Unreachable        no backend, or no answer in time (exit 4)
"""

from typing import ClassVar, cast


class PrivityError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def code(self) -> str:
        """The stable code, the same on the bus, in logs and on the command line."""
        return type(self).__name__

    @property
    def message(self) -> str:
        """The sentence for the person."""
        return str(self.args[0])


class Refusal(PrivityError):
    """The request was refused."""


class Malformed(Refusal):
    """The message cannot be read."""


class UnknownCommand(Refusal):
    """There is no such command."""


class UnknownView(Refusal):
    """There is no such view."""


class TooLarge(Refusal):
    """The message is larger than is allowed."""


class BadSignature(Refusal):
    """The signature does not fit the message, its subject and its sender."""


class UnknownDevice(Refusal):
    """This device may not act for this account."""


class CommandIdReused(Refusal):
    """This command id was used before, for another command."""


class StaleNonce(Refusal):
    """The request is not fresh; ask again with the nonce that came with this answer."""


class NotFound(Refusal):
    """There is no such thing here."""


class WrongKey(Refusal):
    """The share is sealed to another key than the connection's."""


class KeyNotFound(NotFound):
    """There is no such keypair."""


class SealedMissing(Refusal):
    """The command names a sealed object that did not come with it, or brings one that it does not name."""


class AlreadyExists(Refusal):
    """There is one with this id already."""


class AddressTaken(Refusal):
    """This address belongs to another account."""


class TooManyAddresses(Refusal):
    """This account has as many addresses as it may have; it can go back to each of them."""


class BadLogin(Refusal):
    """Address, passphrase and secret do not belong together."""


class StaleChain(Refusal):
    """The identity record does not follow the newest one."""


class ChainFull(Refusal):
    """This account's identity chain is as long as it may become."""


class TooManyFiles(Refusal):
    """An item or a share has 16 files at most."""


class FileMissing(NotFound):
    """The home has no such file: its owner has not brought it yet, or the home leaves it out."""


class StaleVersion(Refusal):
    """There is a newer version; read it first."""


class StaleSequence(Refusal):
    """Another of your devices was faster; read again."""


class ClosedAccount(Refusal):
    """This account was closed."""


class RateLimited(Refusal):
    """Too many requests; try again later."""


class InvitationExpired(Refusal):
    """The invitation is past its time."""


class LifetimeTooLong(Refusal):
    """An invitation may be open for a year at most."""


class InvitationClosed(Refusal):
    """The invitation was accepted, declined or cancelled before."""


class BadToken(Refusal):
    """The invitation or its token is not known."""


class OwnInvitation(Refusal):
    """One cannot accept one's own invitation."""


class AlreadyConnected(Refusal):
    """The two are connected already."""


class NotConnected(Refusal):
    """There is no connection with this person."""


class Unverified(Refusal):
    """The connection is not verified; compare the safety number, or say that you consent."""


class ShareExpired(Refusal):
    """The share is past its time; its sender can give it more."""


class PastDate(Refusal):
    """That time has passed already."""


class TermsNotAccepted(Refusal):
    """The share has terms, which are to be accepted before it can be read."""


class WrongTerms(Refusal):
    """The share has other terms than those."""


class ReshareNotPermitted(Refusal):
    """The sender has not permitted to share this on, or not so far."""


class KeepNotPermitted(Refusal):
    """The sender has not permitted to keep a copy of this."""


class TooManyReaders(Refusal):
    """The piece has as many readers as it may have."""


class RequestNotOpen(Refusal):
    """The request is not open: it was answered, withdrawn, or replaced by a newer one."""


class AuditClosed(RequestNotOpen):
    """The audit was answered before, or is past its time."""


class TooManyAudits(Refusal):
    """As many audits were asked for in this hour as may be; try again later."""


class NotGranted(Refusal):
    """This person does not hold the key."""


class RoleNotEnough(Refusal):
    """The role that you have does not permit this."""


class GroupMoved(StaleVersion):
    """The group went on while it was read; read it again."""


class LocationMoved(StaleVersion):
    """The location went on while it was read; read it again."""


class LastAdmin(Refusal):
    """A group needs an admin; make somebody else one first."""


class NotDelegated(Refusal):
    """This person has not made you a delegate, or not any more."""


class DelegationExpired(Refusal):
    """The delegation is past its time."""


class TooManyDelegates(Refusal):
    """There are as many delegates as there may be, or they changed too often."""


class LocationFull(Refusal):
    """The location has as many files, or as many changes, as it may have."""


class TooManyInstructions(Refusal):
    """As many of your instructions as may do so wait for this person's agent."""


class InstructionNotOpen(Refusal):
    """The instruction is answered, or past its time, or there is no such one."""


class InstructionExpired(Refusal):
    """The instruction was not carried out in its time; give it again."""


class TooManyWaiting(Refusal):
    """As many commands as may do so wait on this device to be sent."""


class BadProof(Refusal):
    """The proof is not that of somebody who may do this, or for something else."""


class UnknownKey(Refusal):
    """The supplier does not know this sharing key; its creator has to register it there."""


class QuotaExceeded(Refusal):
    """The supplier has no room for this."""


class RootDiffers(Refusal):
    """The fragments do not hash to this root."""


class TooManyKeys(Refusal):
    """You have given this person as many sharing keys over this connection as one may."""


class CredentialRevoked(Refusal):
    """The home's operator has taken this credential back."""


class NotComplete(Refusal):
    """Some fragments of this upload are missing."""


class LeaseEnded(Refusal):
    """The lease is not known, or has ended; open the object again."""


class NotEnoughFragments(Refusal):
    """Too few suppliers have their parts of this; it cannot be read now."""


class NotEnoughSuppliers(Refusal):
    """Too few suppliers can be written to; try again when they are there."""


class ChangedMeanwhile(Refusal):
    """The file was changed while it was read."""


class TooManyNames(Refusal):
    """This supplier has had as many names as it may have."""


class SupplierNameTaken(Refusal):
    """Another supplier of this home has that name."""


class Busy(Refusal):
    """The backend is behind; try again."""


class MasterKeyStays(Refusal):
    """The master key is one's identity: it is never shared, granted, switched off or erased."""


class KeyInactive(Refusal):
    """This sharing key is switched off; switch it on first: privity key on."""


class Internal(Refusal):
    """The backend could not process this; it is kept for the operator."""


class Ambiguous(Refusal):
    """More than one thing begins like this; give more of the id."""


class NoProfile(Refusal):
    """There is no account in this profile; make one or log in."""


class ProfileExists(Refusal):
    """This profile holds an account already; use another folder."""


class BadPassphrase(Refusal):
    """The passphrase does not open this profile."""


class AlreadyRunning(Refusal):
    """A backend is running on this folder already."""


class ServerNotInstalled(Refusal):
    """The backend is not installed here; run it from a checkout or the image."""


class Undeliverable(PrivityError):
    """The mail server will never take this mail."""


class StoreConflict(PrivityError):
    """Another writer was faster; load again and decide again."""


class StoreUnavailable(PrivityError):
    """The event store cannot be written or read now."""


class IntegrityAlarm(PrivityError):
    """Something was tampered with."""

    exit_code = 3


class DoesNotOpen(IntegrityAlarm):
    """The sealed object does not open."""


class ForgedRecord(IntegrityAlarm):
    """A signed record does not verify."""


class WrongAnswer(IntegrityAlarm):
    """The answer was not made with the challenge that was sent."""


class BeyondPermission(IntegrityAlarm):
    """Something was shared on beyond what its owner permitted."""


class KeyMismatch(IntegrityAlarm):
    """The key is not the pinned, certified one."""


class NotInLog(IntegrityAlarm):
    """The home's log does not hold what the backend says that it recorded."""


class ForkedLog(IntegrityAlarm):
    """The backend shows two histories."""


class RolledBack(IntegrityAlarm):
    """The backend served an older state than one that was seen before."""


class Withheld(IntegrityAlarm):
    """The backend leaves out what it showed before."""


class CorruptFragment(IntegrityAlarm):
    """A supplier serves something else than was given to it."""


class WrongFragments(IntegrityAlarm):
    """So many suppliers serve something else than was given to them that this cannot be read."""


class Unreachable(PrivityError):
    """The backend cannot be reached, or did not answer in time."""

    exit_code = 4


class NotAdmitted(Unreachable):
    """The bus of this home does not take this credential."""


class SupplierAway(Unreachable):
    """The supplier is not there."""


class SupplierSlow(Unreachable):
    """The supplier did not answer in time."""


def error_for(code: str | None, message: str | None) -> Refusal:
    """The refusal that a code on the bus stands for; alarms are raised by what was seen here, never by a code."""
    known = globals().get(code or "")
    if isinstance(known, type) and issubclass(known, Refusal):
        return known(message or "")
    name = code if code is not None and code.isidentifier() else Refusal.__name__
    kind = type(name, (Refusal,), {"__doc__": "The backend refused."})
    return cast(Refusal, kind(message or ""))
