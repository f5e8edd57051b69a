"""The client for Python apps: one account of a home, with its keys on this device.

    async with Client(Path("profiles/alice"), passphrase) as alice:
        item = await alice.add("Passport", {"number": "X123"})
        await alice.share(item.item, "bob@example.org")

Everything is sealed here before it leaves, and what comes is believed only where signatures, pins and memory hold; what
does not is an `IntegrityAlarm`. All errors are those of `privity.errors`. One task uses a client at a time.

A home may go away and come back while a client is open. Meanwhile (`away`) this device answers with what it keeps, new
versions and what is given up or ended wait in the profile (`waiting`), and all else raises `Unreachable`. Each call
tries the home again, every few seconds at most, and sends what waits first.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack

from privity.agent import accounts, connections, feed, invitations, items, resharing, shares
from privity.agent.accounts import NewAccount
from privity.agent.connections import Broken, Connection
from privity.agent.contents import Wish
from privity.agent.items import Item
from privity.agent.keyring import Keyring
from privity.agent.offline import read_waiting
from privity.agent.profile import ProfileFolder
from privity.agent.reading import Share
from privity.agent.session import Session, open_session
from privity.connection_string import parse_connection_string
from privity.errors import Busy, NotFound, PrivityError, RateLimited, Unreachable
from privity.messages.delegations import KeepItem
from privity.messages.envelope import FeedEntry
from privity.messages.items import EditItem

__all__ = ["Client", "Connection", "FeedEntry", "Item", "NewAccount", "Share"]

T = TypeVar("T")
AGAIN = 5.0
"""Seconds after which a home that was away is tried again."""


class Client:
    """One account. Use as an asynchronous context manager; it connects when it first has to."""

    def __init__(self, folder: Path, passphrase: str, server: str | None = None) -> None:
        """`folder` holds the profile, as `privity --home` does; `server` is another way to the same home."""
        self._folder = ProfileFolder(folder)
        self._passphrase = passphrase
        self._server = server
        self._stack = AsyncExitStack()
        self._open: tuple[Session, Keyring] | None = None
        self._again = 0.0
        self._edited: set[str] = set()

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
        """How many commands wait in the profile, to be sent when the home is reached again."""
        return len(self._folder.waiting_ids())

    @property
    def away(self) -> bool:
        """Whether the home was away at the last call, so that this device answered."""
        return self._mine[0].offline

    async def invite(self, email: str) -> str:
        """Invite somebody; the link, which holds a secret: hand it to them by a way of your own.

        They get a mail too. Who comes by the mail alone has not shown that it was they whom you meant.
        """
        return (await self._call(lambda: invitations.invite(*self._mine, email), here=False)).link

    async def accept(self, link: str) -> Connection:
        """Accept an invitation by its link.

        Raises:
            BadToken, InvitationClosed, InvitationExpired: it cannot be accepted, or not any more.
        """
        return await self._call(lambda: invitations.accept(*self._mine, link), here=False)

    async def connections(self) -> list[Connection]:
        """With whom this account is connected; acceptances of invitations are confirmed on the way.

        Raises:
            IntegrityAlarm: the keys of one of them are not those that were pinned.
        """
        return _whole(await self._call(lambda: connections.all_own(*self._mine)))

    async def add(self, label: str, slots: dict[str, str]) -> Item:
        """Keep a new item: a label and values by name, sealed for nobody but oneself.

        Raises:
            TooManyWaiting: the home is away, and no more can wait for it.
        """
        return await self._call(lambda: items.add(*self._mine, label, slots))

    async def edit(self, item: str, slots: dict[str, str], label: str | None = None) -> Item:
        """Keep the next version: the values given are set, the others stay. Who is given the item has it at once.

        A version that waits is given when it was sent. Where that is not possible, for instance since a connection is
        not verified, the share is in `outdated`.

        Raises:
            NotFound: there is no such item.
            TooManyWaiting: the home is away, and no more can wait for it.
        """
        kept = await self._call(lambda: items.edit(*self._mine, item, slots, label))
        self._edited.add(kept.item)
        await self._give()
        return kept

    async def items(self) -> list[Item]:
        """One's own items."""
        return await self._call(lambda: items.all_own(*self._mine))

    async def item(self, item: str) -> Item:
        """One of them, by its id or the beginning of it.

        Raises:
            NotFound: there is none.
        """
        return await self._call(lambda: items.show(*self._mine, item))

    async def remove(self, item: str) -> None:
        """Give an item up; end its shares first, if there are any."""
        await self._call(lambda: items.remove(self._mine[0], item))

    async def share(self, item: str, address: str, *, unverified: bool = False, **wish: Unpack[Wish]) -> Share:
        """Share an item with somebody one is connected with: all of it, or the `slots` that are named.

        Further conditions: `expires`, `terms`, `reshare` (over how many hands it may go on), `keep`, `files`.

        Raises:
            NotFound: there is no such item, or it has no such value.
            NotConnected: there is no connection with this person.
            Unverified: it is not verified, and `unverified` does not say that this will do.
        """
        return await self._call(
            lambda: resharing.create(*self._mine, item, address, unverified=unverified, **wish), here=False
        )

    async def shares(self, direction: Literal["incoming", "outgoing", "all"] = "all") -> list[Share]:
        """What one gives and is given, each opened; `content` raises where it cannot be read, or not any more.

        Raises:
            IntegrityAlarm: something was changed, or is left out.
        """
        return _whole(await self._call(lambda: shares.all_of(*self._mine, direction)))

    async def read(self, share: str) -> Share:
        """A share, open, by its id or the beginning of it. The home records that it was read, and its owner sees that.

        Raises:
            NotFound: there is none.
            ShareExpired, TermsNotAccepted: it cannot be read.
        """
        return await self._call(lambda: shares.show(*self._mine, share))

    async def accept_terms(self, share: str) -> Share:
        """Sign the terms that a share comes with; then it can be read."""
        return await self._call(lambda: shares.accept(*self._mine, share), here=False)

    async def outdated(self) -> list[Share]:
        """The shares that one gives and that are behind their item."""
        return _whole(await self._call(lambda: shares.outdated(*self._mine)))

    async def end(self, share: str) -> None:
        """End a share, from either side: its keys and content are erased from the home."""
        await self._call(lambda: shares.remove(self._mine[0], share))

    async def history(self, after: int = 0) -> list[FeedEntry]:
        """What happened to this account behind a position, in order; the chain of lines is checked.

        Raises:
            Withheld, ForgedRecord: a line is missing, or was another one before.
        """
        return await self._call(lambda: feed.past(self._mine[0], after))

    async def follow(self, after: int = 0) -> AsyncIterator[FeedEntry]:
        """The same, and then what happens from now on, for ever. Keep the last `position` to go on from there.

        Raises:
            Unreachable: the home is away when it begins; later it waits for the home.
        """
        session, _ = self._mine
        await self._reach()
        try:
            async for line in feed.follow(session, after):
                await self._reach()
                yield line
        except PrivityError as error:
            session.settle(error)
            raise

    async def _call(self, work: Callable[[], Awaitable[T]], *, here: bool = True) -> T:
        """Do it, when what waits was sent; again `here`, with what this device keeps, if the home goes away meanwhile.

        Only what asks and queues may be done again: when that raises `Unreachable`, it has kept nothing.
        """
        session, _ = self._mine
        await self._reach()
        if not session.offline:
            try:
                return await self._settled(work)
            except Unreachable as error:
                session.lost(error.message)
                if not here:
                    raise
            finally:
                if session.offline:
                    self._again = time.monotonic() + AGAIN
        return await self._settled(work)

    async def _settled(self, work: Callable[[], Awaitable[T]]) -> T:
        session, _ = self._mine
        try:
            done = await work()
        except PrivityError as error:
            session.settle(error)
            meant = session.meant(error)
            if meant is not error:
                raise meant from error
            raise
        session.settle(None)
        return done

    async def _reach(self) -> None:
        """Try a home again that was away; what waits goes out before anything that is newer."""
        session, _ = self._mine
        if session.offline or self._folder.has_waiting:
            if time.monotonic() < self._again:
                session.lost("the home was away a moment ago")
                return
            kept = [each.command for each in map(read_waiting, self._folder.waiting()) if each is not None]
            self._edited |= {command.item for command in kept if isinstance(command, EditItem | KeepItem)}
            try:
                await session.reach()
            except (Busy, RateLimited, Unreachable):
                self._again = time.monotonic() + AGAIN
                return
        await self._give()

    async def _give(self) -> None:
        """Give what was edited to those who are given it; later, while the home is away or the edit waits."""
        session, _ = self._mine
        while self._edited and not session.offline and not self._folder.has_waiting:
            item = self._edited.pop()
            try:
                await self._settled(partial(self._update, item))
            except Unreachable as error:
                session.lost(error.message)
            if session.offline:
                self._edited.add(item)
                self._again = time.monotonic() + AGAIN

    async def _update(self, item: str) -> None:
        with suppress(NotFound):  # it was given up since
            await shares.update_all(*self._mine, await shares.outdated(*self._mine, item))

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
