"""The client for Python apps: one account of a home, with its keys on this device.

    async with Client(Path("profiles/alice"), passphrase) as alice:
        item = await alice.add("Passport", {"number": "X123"})
        await alice.share(item.item, "bob@example.org")

Everything is sealed here before it leaves, and what comes is believed only where signatures, pins and memory hold; what
does not is an `IntegrityAlarm`. All errors are those of `privity.errors`. One task uses a client at a time. What is
kept while the home is away (items, and what ends) waits in the profile: `waiting` counts it, and the next call that
reaches the home sends it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack

from privity.agent import accounts, connections, feed, invitations, items, resharing, shares
from privity.agent.accounts import NewAccount
from privity.agent.connections import Broken, Connection
from privity.agent.contents import Wish
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.reading import Share
from privity.agent.session import Session, open_session
from privity.connection_string import parse_connection_string
from privity.messages.envelope import FeedEntry

__all__ = ["Client", "Connection", "FeedEntry", "Item", "NewAccount", "Share"]

T = TypeVar("T")


class Client:
    """One account. Use as an asynchronous context manager; it connects when it first has to."""

    def __init__(self, folder: Path, passphrase: str, server: str | None = None) -> None:
        """`folder` holds the profile, as `privity --home` does; `server` is another way to the same home."""
        self._folder = ProfileFolder(folder)
        self._passphrase = passphrase
        self._server = server
        self._stack = AsyncExitStack()
        self._open: tuple[Session, Keyring] | None = None

    @staticmethod
    async def register(folder: Path, address: str, passphrase: str, server: str) -> NewAccount:
        """Make an account, and its profile in `folder`. `server` is the home's connection string.

        What comes has the account secret and the recovery text: the person is to write both down.

        Raises:
            ProfileExists: there is an account in that folder.
            AddressTaken: the address is somebody else's.
        """
        return await accounts.create(ProfileFolder(folder), parse_connection_string(server), address, passphrase)

    async def __aenter__(self) -> Self:
        """Unlock the profile, which takes a moment.

        Raises:
            NoProfile: there is none.
            BadPassphrase: it does not open.
        """
        session, keyring, _ = await asyncio.to_thread(open_session, self._folder, self._passphrase, self._server)
        await self._stack.enter_async_context(session)
        self._open = session, keyring
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = None
        await self._stack.__aexit__(kind, error, trace)

    @property
    def account(self) -> str:
        """The account's id."""
        return self._mine[0].account

    @property
    def address(self) -> str:
        """The e-mail address that the account goes by."""
        return self._mine[0].address

    @property
    def waiting(self) -> int:
        """How many commands this client kept to be sent later."""
        return self._mine[0].queued

    async def invite(self, email: str) -> str:
        """Invite somebody; the link, which holds a secret: hand it to them by a way of your own.

        They get a mail too. Who comes by the mail alone has not shown that it was they whom you meant.
        """
        return (await invitations.invite(*self._mine, email)).link

    async def accept(self, link: str) -> Connection:
        """Accept an invitation by its link.

        Raises:
            BadToken, InvitationClosed, InvitationExpired: it cannot be accepted, or not any more.
        """
        return await invitations.accept(*self._mine, link)

    async def connections(self) -> list[Connection]:
        """With whom this account is connected; acceptances of invitations are confirmed on the way.

        Raises:
            IntegrityAlarm: the keys of one of them are not those that were pinned.
        """
        return _whole(await connections.all_own(*self._mine))

    async def add(self, label: str, slots: dict[str, str]) -> Item:
        """Keep a new item: a label and values by name, sealed for nobody but oneself."""
        return await items.add(*self._mine, label, slots)

    async def edit(self, item: str, slots: dict[str, str], label: str | None = None) -> Item:
        """Keep the next version: the values given are set, the others stay. Who is given the item has it at once.

        Where that is not possible, for instance since a connection is not verified, the share is in `outdated`.
        """
        kept = await items.edit(*self._mine, item, slots, label)
        if not self.waiting:
            await shares.update_all(*self._mine, await shares.outdated(*self._mine, kept.item))
        return kept

    async def items(self) -> list[Item]:
        """One's own items."""
        return await items.all_own(*self._mine)

    async def item(self, item: str) -> Item:
        """One of them, by its id or the beginning of it.

        Raises:
            NotFound: there is none.
        """
        return await items.show(*self._mine, item)

    async def remove(self, item: str) -> None:
        """Give an item up; end its shares first, if there are any."""
        await items.remove(self._mine[0], item)

    async def share(self, item: str, address: str, *, unverified: bool = False, **wish: Unpack[Wish]) -> Share:
        """Share an item with somebody one is connected with: all of it, or the `slots` that are named.

        Further conditions: `expires`, `terms`, `reshare` (over how many hands it may go on), `keep`, `files`.

        Raises:
            NotFound: there is no such item, or it has no such value.
            NotConnected: there is no connection with this person.
            Unverified: it is not verified, and `unverified` does not say that this will do.
        """
        return await resharing.create(*self._mine, item, address, unverified=unverified, **wish)

    async def shares(self, direction: Literal["incoming", "outgoing", "all"] = "all") -> list[Share]:
        """What one gives and is given, each opened; `content` raises where it cannot be read, or not any more.

        Raises:
            IntegrityAlarm: something was changed, or is left out.
        """
        return _whole(await shares.all_of(*self._mine, direction))

    async def read(self, share: str) -> Share:
        """A share, open, by its id or the beginning of it. The home records that it was read, and its owner sees that.

        Raises:
            NotFound: there is none.
            ShareExpired, TermsNotAccepted: it cannot be read.
        """
        return await shares.show(*self._mine, share)

    async def accept_terms(self, share: str) -> Share:
        """Sign the terms that a share comes with; then it can be read."""
        return await shares.accept(*self._mine, share)

    async def outdated(self) -> list[Share]:
        """The shares that one gives and that are behind their item."""
        return _whole(await shares.outdated(*self._mine))

    async def end(self, share: str) -> None:
        """End a share, from either side: its keys and content are erased from the home."""
        await shares.remove(self._mine[0], share)

    async def history(self, after: int = 0) -> list[FeedEntry]:
        """What happened to this account behind a position, in order; the chain of lines is checked.

        Raises:
            Withheld, ForgedRecord: a line is missing, or was another one before.
        """
        return await feed.past(self._mine[0], after)

    def follow(self, after: int = 0) -> AsyncIterator[FeedEntry]:
        """The same, and then what happens from now on, for ever. Keep the last `position` to go on from there."""
        return feed.follow(self._mine[0], after)

    @property
    def _mine(self) -> tuple[Session, Keyring]:
        if self._open is None:
            raise RuntimeError("the client is not open: async with Client(...) as client")
        return self._open


def _whole(found: Sequence[T | Broken]) -> list[T]:
    """All of it, where everything holds."""
    for each in found:
        if isinstance(each, Broken):
            raise each.alarm
    return [each for each in found if not isinstance(each, Broken)]
