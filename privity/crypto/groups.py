"""A group: an encryption space with several members, whose epochs an admin of the epoch before signs.

An epoch's record names its members, each with role and identity, by a Merkle root (RFC 9162, section 2.1) over them in
the order of their account ids; the space key by a commitment; the epoch before by its digest; and how far the group's
line had come. A member is dropped by an epoch with a new space key, which has the key before under itself (`link`):
who remains reads on, who is dropped gets no key any more.

All that is written to a group is one line: numbered from 1, each manifest with the digest of the one before. As epochs
say where they begin in it, nothing can be written under an epoch that has ended, and nothing can be left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from privity.crypto import aead, kem, labels
from privity.crypto.kem import Suite
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.crypto.merkle import Frontier, Node, inclusion_proof, leaf_hash, verify_inclusion
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, b64, digest, lp, sha256, unb64
from privity.errors import DoesNotOpen, ForgedRecord, Malformed, NotInLog

READER: Final = "reader"
WRITER: Final = "writer"
ADMIN: Final = "admin"
ROLES: Final = (READER, WRITER, ADMIN)
WRITING: Final = frozenset({WRITER, ADMIN})
"""The roles that may write."""
NONCE_BYTES: Final = 16
MAX_DROPPED: Final = 64
"""Members who are dropped by one epoch."""
ACCOUNT_LETTERS: Final = 52


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody's place in an epoch: role, head of the identity chain, and digest of its public seal key (base64url)."""

    account: str
    role: str
    head: str
    seal: str

    @property
    def leaf(self) -> bytes:
        """The leaf, 32 bytes, in the epoch's tree of members."""
        parts = (self.account, self.role, self.head, self.seal)
        return leaf_hash(lp(labels.GROUP_MEMBER, *(part.encode() for part in parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What an admin signs: who is in, with which space key, behind which epoch, from which place of the line on.

    `key` is the epoch that the space key was made in, `commitment` that key's. `wraps` is the root over the wraps that
    this epoch brings, `about` and `link` are digests of sealed objects, `dropped` are members no more. `n` and `last`
    are the number and digest of the newest manifest in the group's line (0 and None while there is none), `nonce` is
    in the first epoch alone: with the creator it hashes to the group's id.
    """

    group: str
    epoch: int
    prev: str | None
    by: str
    size: int
    members: str
    key: int
    commitment: str
    wraps: str
    about: str
    link: str | None
    n: int
    last: str | None
    checkpoint: str
    dropped: tuple[str, ...] = ()
    nonce: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What an author signs of one version of a post; one that takes it back has neither content nor wrap."""

    group: str
    epoch: int
    key: int
    post: str
    version: int
    author: str
    n: int
    prev: str | None
    content: str | None
    wrap: str | None
    checkpoint: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """What the sealed parts are bound to; numbers as decimal text."""
        parts = (self.group, str(self.key), self.post, str(self.version), self.author)
        return tuple(part.encode() for part in parts)


@dataclass(frozen=True, slots=True)
class SealedPost:
    """A post as it leaves its author: the manifest's exact bytes, its signature, content and wrapped DEK."""

    manifest: bytes
    signature: bytes
    content: bytes
    wrap: bytes


_NONCE: Final = frozenset({"nonce"})
_EPOCH: Final = frozenset({"v", *(each.name for each in fields(Epoch))}) - _NONCE
_POST: Final = frozenset({"v", *(each.name for each in fields(Post))})


class Roster:
    """The members of an epoch as its tree: the root, and the path of each member."""

    def __init__(self, members: Iterable[Member]) -> None:
        """In any order; an account twice counts once."""
        self._members = dict(sorted((member.account, member) for member in members))
        self._index = {account: index for index, account in enumerate(self._members)}
        tree, self._nodes = Frontier(), dict[Node, bytes]()
        for member in self._members.values():
            self._nodes.update(tree.append(member.leaf))
        self.root = b64(tree.root())

    def __len__(self) -> int:
        return len(self._members)

    def proof(self, account: str) -> tuple[int, tuple[str, ...]]:
        """The index of a member and the path to the root, base64url.

        Raises:
            KeyError: this is no member.
        """
        index = self._index[account]
        path = inclusion_proof(index, len(self), lambda level, place: self._nodes[level, place])
        return index, tuple(b64(each) for each in path)


def check_member(epoch: Epoch, member: Member, index: int, proof: Sequence[str]) -> None:
    """Returns if the epoch has this member, with this role and identity.

    Raises:
        ForgedRecord: the path does not show it.
    """
    try:
        path = [unb64(each) for each in proof]
        verify_inclusion(member.leaf, index, epoch.size, path, unb64(epoch.members))
    except (NotInLog, Malformed):
        raise ForgedRecord(
            f"Epoch {epoch.epoch} of the group has no such member with the role {member.role}."
        ) from None


def group_id(creator: str, nonce: bytes) -> str:
    """The id of the group, 52 letters of base32, that somebody makes with this nonce."""
    return b32(sha256(lp(labels.GROUP, creator.encode(), nonce)))


def wraps_root(wraps: Mapping[str, str]) -> str:
    """The root over wraps, account to digest, in the order of the accounts."""
    tree = Frontier()
    for account, wrap in sorted(wraps.items()):
        tree.append(leaf_hash(lp(labels.GROUP_WRAPPED, account.encode(), wrap.encode())))
    return b64(tree.root())


def commit(group: str, key: int, space_key: bytes) -> str:
    """The commitment to a space key, base64url: it is random, so its hash tells nothing of it."""
    return digest(lp(labels.GROUP_KEY, *_place(group, key), space_key))


def sign_epoch(identity: SigningKey, epoch: Epoch) -> tuple[bytes, bytes]:
    """The record's exact bytes and the signature.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    facts = {"v": 1, **asdict(epoch), "dropped": " ".join(epoch.dropped) or None}
    if epoch.nonce is None:
        del facts["nonce"]
    data = encode_record(facts)
    read_epoch(data)
    return data, identity.sign(labels.GROUP_EPOCH, data)


def read_epoch(record: bytes) -> Epoch:
    """The parsed record, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields, or one that makes no sense: a first epoch with one
            before it, or whose nonce does not hash to the group's id; a key of a later epoch; a first key with a link.
    """
    facts = decode_record(record, _EPOCH, _NONCE)
    epoch = Epoch(
        group=facts.text("group"),
        epoch=facts.number("epoch", least=1),
        prev=_digest_or_none(facts, "prev"),
        by=facts.text("by"),
        size=facts.number("size", least=1),
        members=facts.digest("members"),
        key=facts.number("key", least=1),
        commitment=facts.digest("commitment"),
        wraps=facts.digest("wraps"),
        about=facts.digest("about"),
        link=_digest_or_none(facts, "link"),
        n=facts.number("n"),
        last=_digest_or_none(facts, "last"),
        checkpoint=facts.text("checkpoint"),
        dropped=_accounts(facts, "dropped"),
        nonce=facts.text("nonce") if "nonce" in facts.values else None,
    )
    first = epoch.epoch == 1
    if (epoch.prev is None, epoch.nonce is not None) != (first, first) or epoch.key > epoch.epoch:
        raise Malformed("the epoch does not say which one it follows")
    if (epoch.link is None) is not (epoch.key == 1) or (epoch.last is None) is not (epoch.n == 0):
        raise Malformed("the epoch has no link to the key before, or no place in the line")
    if first and group_id(epoch.by, facts.raw("nonce")) != epoch.group:
        raise Malformed("the group's id is not the one of who made it")
    return epoch


def verify_epoch(record: bytes, signature: bytes, sign_public: bytes) -> Epoch:
    """The epoch, signed by this key. Whose it is, and whether an admin's, the caller checks.

    Raises:
        ForgedRecord: the signature is another's.
        Malformed: as `read_epoch`.
    """
    verify(sign_public, signature, labels.GROUP_EPOCH, record)
    return read_epoch(record)


def seal_space_key(suite: Suite, seal_public: bytes, space_key: bytes, group: str, key: int, member: Member) -> bytes:
    """The space key, sealed to a member's identity for one role.

    Raises:
        Malformed: not a public key of this suite.
    """
    return kem.seal_to(suite, seal_public, space_key, labels.GROUP_TO_MEMBER, *_placed(group, key, member))


def open_space_key(suite: Suite, private: bytes, wrap: bytes, epoch: Epoch, member: Member) -> bytes:
    """The space key of an epoch, by the member's private seal key.

    Raises:
        DoesNotOpen: not this key's wrap, or not the space key that the epoch's admin signed.
    """
    context = _placed(epoch.group, epoch.key, member)
    return _checked(epoch, kem.open_with(suite, private, wrap, labels.GROUP_TO_MEMBER, *context))


def claim_space_key(kek: bytes, space_key: bytes, epoch: Epoch, account: str) -> bytes:
    """The space key under the member's own KEK: later reads need no private key."""
    return wrap_key(kek, space_key, labels.PURPOSE_GROUP_CLAIM, *_place(epoch.group, epoch.key), account.encode())


def open_claim(kek: bytes, wrap: bytes, epoch: Epoch, account: str) -> bytes:
    """The inverse of `claim_space_key`.

    Raises:
        DoesNotOpen: another KEK or place, or not the space key that the epoch's admin signed.
    """
    place = (*_place(epoch.group, epoch.key), account.encode())
    return _checked(epoch, unwrap_key(kek, wrap, labels.PURPOSE_GROUP_CLAIM, *place))


def link_key(space_key: bytes, before: bytes, group: str, key: int) -> bytes:
    """The space key before, under the one that epoch `key` makes."""
    return wrap_key(space_key, before, labels.PURPOSE_GROUP_LINK, *_place(group, key))


def open_link(space_key: bytes, link: bytes, epoch: Epoch, before: Epoch) -> bytes:
    """The space key of the epoch `before`, whose key went before that of `epoch`.

    Raises:
        DoesNotOpen: not the link that the epoch names, or not the key that the epoch before names.
    """
    _check_digest(link, epoch.link)
    opened = unwrap_key(space_key, link, labels.PURPOSE_GROUP_LINK, *_place(epoch.group, epoch.key))
    return _checked(before, opened)


def seal_about(space_key: bytes, about: bytes, group: str, key: int) -> bytes:
    """What the group is about (its name), for its members."""
    return aead.seal(space_key, about, labels.GROUP_ABOUT, *_place(group, key))


def open_about(space_key: bytes, blob: bytes, epoch: Epoch) -> bytes:
    """The inverse of `seal_about`.

    Raises:
        DoesNotOpen: not the object that the epoch names.
    """
    _check_digest(blob, epoch.about)
    return aead.open_sealed(space_key, blob, labels.GROUP_ABOUT, *_place(epoch.group, epoch.key))


def seal_post(
    space_key: bytes,
    dek: bytes,
    plaintext: bytes,
    *,
    epoch: Epoch,
    post: str,
    version: int,
    author: str,
    identity: SigningKey,
    n: int,
    prev: str | None,
    checkpoint: str,
) -> SealedPost:
    """Seals `plaintext` once under a fresh `dek`, wraps that under the epoch's space key, and signs.

    Args:
        n, prev: the number in the group's line, from 1, and the digest of the manifest before, None for the first.
        checkpoint: the newest checkpoint note that the author has seen, without co-signatures.

    Raises:
        Malformed: a value is one that no reader would take.
        TooLarge: more than 16 MiB.
    """
    place = Post(
        group=epoch.group,
        epoch=epoch.epoch,
        key=epoch.key,
        post=post,
        version=version,
        author=author,
        n=n,
        prev=prev,
        content=None,
        wrap=None,
        checkpoint=checkpoint,
    )
    content = aead.seal(dek, plaintext, labels.GROUP_CONTENT, *place.context)
    wrap = wrap_key(space_key, dek, labels.PURPOSE_GROUP_POST, *place.context)
    manifest, signature = sign_post(identity, place, digest(content), digest(wrap))
    return SealedPost(manifest, signature, content, wrap)


def sign_post(
    identity: SigningKey, place: Post, content: str | None = None, wrap: str | None = None
) -> tuple[bytes, bytes]:
    """A manifest's exact bytes and the signature; without content and wrap it takes the post back.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    data = encode_record({"v": 1, **asdict(place), "content": content, "wrap": wrap})
    read_post(data)
    return data, identity.sign(labels.GROUP_POST, data)


def read_post(manifest: bytes) -> Post:
    """The parsed manifest, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields; the first of a line with one before it, or a later
            one without; content without a wrap.
    """
    facts = decode_record(manifest, _POST)
    post = Post(
        group=facts.text("group"),
        epoch=facts.number("epoch", least=1),
        key=facts.number("key", least=1),
        post=facts.text("post"),
        version=facts.number("version", least=1),
        author=facts.text("author"),
        n=facts.number("n", least=1),
        prev=_digest_or_none(facts, "prev"),
        content=_digest_or_none(facts, "content"),
        wrap=_digest_or_none(facts, "wrap"),
        checkpoint=facts.text("checkpoint"),
    )
    if (post.prev is None) is not (post.n == 1) or (post.content is None) is not (post.wrap is None):
        raise Malformed("the manifest has no place in the line, or a part of its content")
    return post


def verify_post(manifest: bytes, signature: bytes, sign_public: bytes) -> Post:
    """The manifest, signed by this key. Whether its author may write, the caller checks.

    Raises:
        ForgedRecord: the signature is another's.
        Malformed: as `read_post`.
    """
    verify(sign_public, signature, labels.GROUP_POST, manifest)
    return read_post(manifest)


def check_writing(post: Post, epoch: Epoch, after: Epoch | None) -> None:
    """Returns if a manifest stands where its epoch was the newest one; `after` is the epoch behind that.

    Raises:
        ForgedRecord: it was written under an epoch that had ended, or had not begun.
    """
    named = (post.group, post.epoch, post.key) == (epoch.group, epoch.epoch, epoch.key)
    if not named or post.n <= epoch.n or (after is not None and post.n > after.n):
        raise ForgedRecord(f"Number {post.n} of the group was written under epoch {post.epoch}, which had ended.")


def open_post(space_key: bytes, post: Post, wrap: bytes, content: bytes) -> bytes:
    """The posted plaintext.

    Raises:
        DoesNotOpen: not the parts that the manifest names, or another space key's.
    """
    _check_digest(wrap, post.wrap)
    _check_digest(content, post.content)
    dek = unwrap_key(space_key, wrap, labels.PURPOSE_GROUP_POST, *post.context)
    return aead.open_sealed(dek, content, labels.GROUP_CONTENT, *post.context)


def _place(group: str, key: int) -> tuple[bytes, bytes]:
    return group.encode(), str(key).encode()


def _placed(group: str, key: int, member: Member) -> tuple[bytes, ...]:
    return (*_place(group, key), member.account.encode(), member.role.encode())


def _checked(epoch: Epoch, space_key: bytes) -> bytes:
    if commit(epoch.group, epoch.key, space_key) != epoch.commitment:
        raise DoesNotOpen("This is not the group's key that its admin signed.")
    return space_key


def _check_digest(blob: bytes, named: str | None) -> None:
    if digest(blob) != named:
        raise DoesNotOpen


def _digest_or_none(facts: Facts, name: str) -> str | None:
    return None if facts.values[name] is None else facts.digest(name)


def _accounts(facts: Facts, name: str) -> tuple[str, ...]:
    """Accounts with a space between; null for none."""
    if facts.values[name] is None:
        return ()
    accounts = facts.text(name, MAX_DROPPED * (ACCOUNT_LETTERS + 1)).split(" ")
    if any(len(each) != ACCOUNT_LETTERS for each in accounts):
        raise Malformed(f"{name} are not accounts")
    return tuple(accounts)
