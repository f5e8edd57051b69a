"""The identities of those who signed something that many read, as far as this device's memory bears them out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from privity.agent.chains import Heads, follow
from privity.agent.identity import own_line
from privity.agent.session import Session
from privity.crypto.identity import Identity
from privity.messages.fields import SignedRecord


class Shown(Protocol):
    """A row that shows somebody's chain."""

    @property
    def chain(self) -> Sequence[SignedRecord]:
        """From the genesis on."""

    @property
    def address(self) -> str:
        """By which an alarm names them."""


class People(ABC):
    """Everybody's identities, each asked for once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lines: dict[str, tuple[Identity, ...]] = {}
        self._chains: dict[str, Sequence[SignedRecord]] = {}

    async def line(self, account: str) -> tuple[Identity, ...]:
        """Somebody's identities; the chain must go on from what this device saw of it.

        Raises:
            Withheld: the backend does not show it.
            RolledBack, KeyMismatch, ForgedRecord: as `follow`.
        """
        if account not in self._lines:
            if account == self._session.account:
                row, self._lines[account] = await own_line(self._session)
                self._chains[account] = row.chain
            else:
                heads = Heads(self._session.memory)
                person = await self._row(account)
                self._lines[account] = follow(heads, person.chain, account, person.address)
                self._chains[account] = person.chain
        return self._lines[account]

    async def chain(self, account: str) -> Sequence[SignedRecord]:
        """The same as it was served."""
        await self.line(account)
        return self._chains[account]

    @abstractmethod
    async def _row(self, account: str) -> Shown:
        """Where the backend shows somebody's chain.

        Raises:
            Withheld: it does not.
        """
