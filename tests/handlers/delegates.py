"""A vault key and its delegates, as the commands of the story bring them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from handlers import delegations, instructions
from handlers.opening import Delivery
from privity.crypto.delegations import (
    Grant,
    Removal,
    key_hash,
    new_vault_key,
    seal_vault_key,
    seal_version,
    sign_step,
    wrap_before,
    wrap_vault_key,
)
from privity.crypto.instructions import Instruction, seal_instruction, sign_instruction
from privity.encoding import b64, digest, new_id
from privity.messages.delegations import (
    ClaimDelegation,
    DropItem,
    GrantDelegation,
    KeepItem,
    RemoveDelegation,
    Role,
)
from privity.messages.instructions import AnswerInstruction, GiveInstruction
from tests.examples import NOW
from tests.handlers.people import CHECKPOINT, Citizen

HANDLERS = (delegations, instructions)
"""Imported, they are registered."""


@dataclass
class Delegates:
    """Those who may act for somebody; `grants` is whom the key is sealed to, by delegate."""

    principal: Citizen
    keys: list[bytes] = field(default_factory=lambda: [new_vault_key()])
    grants: dict[str, Grant] = field(default_factory=dict)
    n: int = 0
    head: str | None = None
    instructions: int = 0

    @property
    def generation(self) -> int:
        """Of the newest key."""
        return len(self.keys)

    def granted(
        self,
        delegate: Citizen,
        role: Role,
        connection: str,
        said: Mapping[str, object] | None = None,
        **changes: object,
    ) -> Delivery:
        """The principal makes somebody a delegate; `said` is said otherwise in the record, `changes` in the command."""
        grant = Grant(
            **self._step(new_id()),  # type: ignore[arg-type]
            delegate=delegate.account,
            role=role,
            connection=connection,
            delegate_key=delegate.key_id,
            suite=delegate.pair.suite,
            public=delegate.pair.public,
            principal_address=self.principal.address,
            delegate_address=delegate.address,
            expires=None,
        )
        grant = replace(grant, **said or {})  # type: ignore[arg-type]
        first = not self.grants and self.generation == 1
        self.grants[delegate.account] = grant
        wrap, own = self._sealed(grant), self._own()
        record, signature = self._signed(grant)
        facts: dict[str, object] = {
            "principal": self.principal.account,
            "delegation": grant.delegation,
            "delegate": grant.delegate,
            "role": role,
            "connection": connection,
            "expires": None,
            "n": grant.n,
            "generation": self.generation,
            "record": b64(record),
            "signature": b64(signature),
            "wrap": digest(wrap),
            "own_wrap": digest(own) if first else None,
        }
        return self.principal.says(GrantDelegation(**facts | changes), wrap, *([own] if first else []))  # type: ignore[arg-type]

    def claimed(self, by: Citizen) -> Delivery:
        """The newest key, kept by a holder."""
        wrap = wrap_vault_key(
            by.kek, self.keys[-1], principal=self.principal.account, holder=by.account, generation=self.generation
        )
        return by.says(ClaimDelegation(self.principal.account, self.generation, digest(wrap)), wrap)

    def removed(self, delegate: Citizen) -> Delivery:
        """The principal ends a delegation; the others get a new key."""
        gone, before = self.grants.pop(delegate.account), self.keys[-1]
        self.keys.append(new_vault_key())
        removal = Removal(**self._step(gone.delegation))  # type: ignore[arg-type]
        record, signature = self._signed(removal)
        wraps = {account: self._sealed(grant) for account, grant in self.grants.items()}
        wraps[self.principal.account] = self._own()
        older = wrap_before(self.keys[-1], before, principal=self.principal.account, generation=self.generation)
        command = RemoveDelegation(
            principal=self.principal.account,
            delegation=gone.delegation,
            n=removal.n,
            generation=self.generation,
            record=b64(record),
            signature=b64(signature),
            wraps={account: digest(wrap) for account, wrap in wraps.items()},
            before=digest(older),
        )
        return self.principal.says(command, *wraps.values(), older)

    def kept(
        self,
        by: Citizen,
        item: str,
        version: int = 1,
        checkpoint: str = CHECKPOINT,
        content: bytes = b"kept",
        **changes: object,
    ) -> Delivery:
        """A version of an item under the newest key; `changes` are of the command alone."""
        grant = self.grants.get(by.account)
        sealed = seal_version(
            self.keys[-1],
            content,
            principal=self.principal.account,
            item=item,
            version=version,
            generation=self.generation,
            by=by.account,
            delegation=grant.delegation if grant else None,
            checkpoint=checkpoint,
            identity=by.keys.sign,
        )
        facts: dict[str, object] = {
            "principal": self.principal.account,
            "delegation": grant.delegation if grant else None,
            "item": item,
            "version": version,
            "generation": self.generation,
            "record": b64(sealed.record),
            "signature": b64(sealed.signature),
            "content": digest(sealed.content),
            "wrap": digest(sealed.wrap),
        }
        return by.says(KeepItem(**facts | changes), sealed.content, sealed.wrap)  # type: ignore[arg-type]

    def dropped(self, by: Citizen, item: str) -> Delivery:
        """A delegate gives an item up."""
        return by.says(DropItem(self.principal.account, self.grants[by.account].delegation, item))

    def instructed(
        self, by: Citizen, said: Mapping[str, object] | None = None, wants: bytes = b"wanted", **changes: object
    ) -> Delivery:
        """What a delegate wants done; `said` is said otherwise in the record, `changes` in the command."""
        self.instructions += 1
        place = {
            "principal": self.principal.account,
            "by": by.account,
            "delegation": self.grants[by.account].delegation,
        }
        numbers = {"n": self.instructions, "generation": self.generation}
        content = seal_instruction(self.keys[-1], wants, **place, **numbers)  # type: ignore[arg-type]
        instruction = Instruction(
            **place,
            **numbers,
            expires=NOW + timedelta(days=7),
            content=digest(content),
            checkpoint=CHECKPOINT,
        )
        instruction = replace(instruction, **said or {})  # type: ignore[arg-type]
        record, signature = sign_instruction(instruction, by.keys.sign)
        facts: dict[str, object] = {
            "principal": instruction.principal,
            "delegation": instruction.delegation,
            "n": instruction.n,
            "generation": instruction.generation,
            "expires": instruction.expires,
            "record": b64(record),
            "signature": b64(signature),
            "content": instruction.content,
        }
        return by.says(GiveInstruction(**facts | changes), content)  # type: ignore[arg-type]

    def answered(self, n: int, share: str | None, code: str | None = None) -> Delivery:
        """The principal's answer, while there is one delegate."""
        [grant] = self.grants.values()
        return self.principal.says(AnswerInstruction(grant.delegation, n, code, share))

    def _step(self, delegation: str) -> dict[str, object]:
        principal = self.principal.account
        place = {"principal": principal, "n": self.n + 1, "prev": self.head, "by": principal, "delegation": delegation}
        key = key_hash(self.keys[-1], principal, self.generation)
        return {**place, "generation": self.generation, "key": key, "checkpoint": CHECKPOINT}

    def _signed(self, step: Grant | Removal) -> tuple[bytes, bytes]:
        record, signature = sign_step(step, self.principal.keys.sign)
        self.n, self.head = step.n, digest(record)
        return record, signature

    def _sealed(self, grant: Grant) -> bytes:
        return seal_vault_key(
            self.keys[-1],
            grant.suite,
            grant.public,
            principal=grant.principal,
            delegation=grant.delegation,
            holder=grant.delegate,
            role=grant.role,
            generation=self.generation,
        )

    def _own(self) -> bytes:
        account = self.principal.account
        return wrap_vault_key(
            self.principal.kek, self.keys[-1], principal=account, holder=account, generation=self.generation
        )
