"""The tables of all views, and how far they have got."""

import json
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


class WrittenJSON(sa.TypeDecorator[Any]):
    """JSON that is a text already when it is stored, as it was hashed; a value when it is read."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """The value."""
        return None if value is None else json.loads(value)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _position(*, index: bool = True) -> sa.Column[int]:
    return sa.Column("position", sa.BigInteger, nullable=False, index=index)


progress = sa.Table(
    "progress",
    metadata,
    _key("name"),
    _position(index=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    _key("account"),
    sa.Column("address", sa.Text, nullable=False, unique=True),
    sa.Column("devices", sa.JSON, nullable=False),
    _text("login"),
    _text("recovery_login"),
    sa.Column("kdf", sa.JSON, nullable=False),
    _text("kek"),
    _text("kek_recovery"),
    _text("identity"),
    sa.Column("renamed", sa.BigInteger, nullable=False),
    _position(),
)

addresses = sa.Table(
    "addresses",
    metadata,
    _key("address"),
    sa.Column("account", sa.Text, nullable=False, index=True),
)

identity_records = sa.Table(
    "identity_records",
    metadata,
    _key("account"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("record"),
    sa.Column("signatures", sa.JSON, nullable=False),
    _position(index=False),
)

keys = sa.Table(
    "keys",
    metadata,
    _key("key"),
    sa.Column("account", sa.Text, nullable=False, index=True),
    _text("suite"),
    _text("public"),
    _text("private"),
    sa.Column("published", sa.Boolean, nullable=False),
    _position(),
)

invitations = sa.Table(
    "invitations",
    metadata,
    _key("invitation"),
    sa.Column("inviter", sa.Text, nullable=False, index=True),
    _text("inviter_address"),
    sa.Column("email", sa.Text, nullable=False, index=True),
    _text("status"),
    _text("expires"),
    _text("record"),
    _text("mac"),
    _text("token_hash"),
    _text("note"),
    _text("connection", nullable=True),
    _text("acceptor", nullable=True),
    _position(),
)

connections = sa.Table(
    "connections",
    metadata,
    _key("connection"),
    _key("account"),
    _text("invitation"),
    sa.Column("inviter", sa.Boolean, nullable=False),
    _text("peer"),
    _text("peer_address"),
    _text("key"),
    _text("public"),
    _text("peer_key"),
    _text("peer_public"),
    sa.Column("confirmed", sa.Boolean, nullable=False),
    _text("note"),
    _text("offer"),
    _text("offer_mac"),
    _text("acceptance"),
    _text("acceptance_mac", nullable=True),
    _text("confirmation_mac", nullable=True),
    _position(),
    sa.Index("connections_of_account", "account", "position"),
)

partings = sa.Table(
    "partings",
    metadata,
    _key("connection"),
    _key("account"),
    _text("peer"),
    _position(index=False),
    sa.Index("partings_of_account", "account", "peer"),
)

items = sa.Table(
    "items",
    metadata,
    _key("item"),
    _text("owner"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("content"),
    _text("wrap"),
    _text("record", nullable=True),
    _text("signature", nullable=True),
    sa.Column("kept", sa.BigInteger, nullable=True),
    _position(),
    sa.Index("items_of_owner", "owner", "position"),
)

delegation_steps = sa.Table(
    "delegation_steps",
    metadata,
    _key("principal"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("delegate"),
    _text("record"),
    _text("signature"),
    _position(index=False),
)

delegates = sa.Table(
    "delegates",
    metadata,
    _key("principal"),
    _key("delegation"),
    _text("delegate"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    _text("expires", nullable=True),
    sa.Index("delegates_of_account", "delegate", "principal"),
)

vault_wraps = sa.Table(
    "vault_wraps",
    metadata,
    _key("principal"),
    _key("holder"),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("wrap"),
    sa.Column("claimed", sa.Boolean, nullable=False),
    _position(index=False),
    sa.Index("vault_wraps_of_holder", "holder", "position"),
)

vault_befores = sa.Table(
    "vault_befores",
    metadata,
    _key("principal"),
    sa.Column("generation", sa.Integer, primary_key=True),
    _text("wrap"),
)

instructions = sa.Table(
    "instructions",
    metadata,
    _key("principal"),
    _key("delegation"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("by"),
    _text("record"),
    _text("signature"),
    _text("content", nullable=True),
    sa.Column("answered", sa.BigInteger, nullable=True),
    _text("code", nullable=True),
    _text("share", nullable=True),
    _position(),
    sa.Index("instructions_by_delegate", "by", "position"),
)

spaces = sa.Table(
    "spaces",
    metadata,
    _key("space"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    _text("owner"),
    _position(),
)

space_members = sa.Table(
    "space_members",
    metadata,
    _key("space"),
    _key("account"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    _text("wrap"),
)

shares = sa.Table(
    "shares",
    metadata,
    _key("share"),
    _text("space"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    _text("owner"),
    _text("recipient"),
    sa.Column("item", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    _text("created"),
    _text("manifest"),
    _text("signature"),
    _text("content"),
    _text("owner_wrap"),
    _text("recipient_wrap"),
    _text("claim", nullable=True),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("expires", nullable=True),
    _text("terms", nullable=True),
    _text("terms_hash", nullable=True),
    _text("accepted", nullable=True),
    _text("accepted_hash", nullable=True),
    sa.Column("reshare", sa.Integer, nullable=False),
    sa.Column("keep", sa.Boolean, nullable=False),
    _text("source", nullable=True),
    sa.Column("revised", sa.BigInteger, nullable=False),
    _position(),
    sa.Index("shares_of_owner", "owner", "position"),
    sa.Index("shares_of_recipient", "recipient", "position"),
)

files = sa.Table(
    "files",
    metadata,
    _key("of"),
    _key("file"),
    _text("owner"),
    sa.Column("connection", sa.Text, nullable=True, index=True),
    _text("content"),
    _position(),
)

lines = sa.Table(
    "lines",
    metadata,
    _key("connection"),
    _key("sender"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("recipient"),
    sa.Column("share", sa.Text, nullable=False, index=True),
    _text("manifest"),
    _text("signature"),
    sa.Column("ended", sa.BigInteger, nullable=True),
    _position(index=False),
    sa.Index("lines_of_connection", "connection", "position"),
)

pieces = sa.Table(
    "pieces",
    metadata,
    _key("piece"),
    _text("owner"),
    _text("piece_name"),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("record"),
    _text("signature"),
    _text("content", nullable=True),
    _text("owner_wrap", nullable=True),
    _position(),
    sa.Index("pieces_of_owner", "owner", "position"),
)

piece_readers = sa.Table(
    "piece_readers",
    metadata,
    _key("piece"),
    _key("reader"),
    _text("owner"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    _text("key"),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("wrap"),
    _text("grant"),
    _text("stored", nullable=True),
    sa.Column("ended", sa.Boolean, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    _position(),
    sa.Index("piece_readers_of_owner", "owner", "position"),
)

piece_requests = sa.Table(
    "piece_requests",
    metadata,
    _key("request"),
    _text("owner"),
    _text("asker"),
    _text("piece_name"),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    sa.Column("n", sa.Integer, nullable=False),
    _text("status"),
    _text("signature"),
    _text("challenge", nullable=True),
    _text("kept", nullable=True),
    sa.Column("approved", sa.Integer, nullable=True),
    _text("answered", nullable=True),
    sa.Column("version", sa.Integer, nullable=True),
    sa.Column("generation", sa.Integer, nullable=True),
    _text("content", nullable=True),
    _text("wrap", nullable=True),
    _text("answer", nullable=True),
    _position(),
    sa.Index("piece_requests_of_owner", "owner", "position"),
    sa.Index("piece_requests_of_asker", "asker", "position"),
)

piece_rules = sa.Table(
    "piece_rules",
    metadata,
    _key("account"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("rules", nullable=True),
    _position(index=False),
)

groups = sa.Table(
    "groups",
    metadata,
    _key("group"),
    sa.Column("epoch", sa.Integer, nullable=False),
    _text("about"),
    _position(index=False),
)

group_members = sa.Table(
    "group_members",
    metadata,
    _key("group"),
    _key("account"),
    _text("role"),
    sa.Column("n", sa.Integer, nullable=False),
    _text("head"),
    _text("seal"),
    _text("wrap"),
    sa.Column("claimed", sa.Boolean, nullable=False),
    sa.Column("left", sa.BigInteger, nullable=True),
    sa.Column("gone", sa.Boolean, nullable=False),
    sa.Column("until", sa.Integer, nullable=True),
    _position(index=False),
    sa.Index("groups_of_member", "account", "position"),
)

group_epochs = sa.Table(
    "group_epochs",
    metadata,
    _key("group"),
    sa.Column("epoch", sa.Integer, primary_key=True),
    _text("record"),
    _text("signature"),
    _text("by"),
    _text("role"),
    _text("head"),
    _text("seal"),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("proof", sa.JSON, nullable=False),
    _text("link", nullable=True),
    _position(),
)

group_lines = sa.Table(
    "group_lines",
    metadata,
    _key("group"),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("post", sa.Text, nullable=False, index=True),
    _text("author"),
    _text("manifest"),
    _text("signature"),
    _text("role"),
    _text("head"),
    _text("seal"),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("proof", sa.JSON, nullable=False),
    _text("content", nullable=True),
    _text("wrap", nullable=True),
    _position(),
)

locations = sa.Table(
    "locations",
    metadata,
    _key("location"),
    _text("by"),
    sa.Column("needed", sa.Integer, nullable=False),
    sa.Column("suppliers", sa.JSON, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    _position(),
)

location_readers = sa.Table(
    "location_readers",
    metadata,
    _key("location"),
    _key("account"),
    _position(index=False),
    sa.Index("locations_of_reader", "account", "location"),
)

location_lines = sa.Table(
    "location_lines",
    metadata,
    _key("location"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("by"),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("manifest"),
    _text("signature"),
    _text("body"),
    sa.Column("objects", sa.JSON, nullable=False),
    sa.Column("released", sa.JSON, nullable=False),
    _position(),
)

grants = sa.Table(
    "grants",
    metadata,
    _key("grant"),
    sa.Column("by", sa.Text, nullable=False, index=True),
    _text("key"),
    _text("to"),
    _text("connection"),
    _position(),
)

grant_steps = sa.Table(
    "grant_steps",
    metadata,
    _key("grant"),
    _key("step"),
    _text("outcome"),
    _text("reason", nullable=True),
    _position(index=False),
)

key_audits = sa.Table(
    "key_audits",
    metadata,
    _key("audit"),
    sa.Column("asker", sa.Text, primary_key=True),
    sa.Column("of", sa.Text, nullable=False, index=True),
    _text("key", nullable=True),
    _text("connection"),
    _text("audited"),
    sa.Column("generation", sa.Integer, nullable=False),
    _text("nonce"),
    _text("challenge", nullable=True),
    _text("signature"),
    _text("at"),
    _text("verdict", nullable=True),
    _text("held", nullable=True),
    _text("answer", nullable=True),
    _text("answered", nullable=True),
    _position(),
)

feed = sa.Table(
    "feed",
    metadata,
    _key("account"),
    sa.Column("position", sa.BigInteger, primary_key=True),
    _text("event"),
    _text("at"),
    _text("actor"),
    sa.Column("refs", WrittenJSON, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    _text("link"),
    sa.Index(
        "feed_by_others",
        "account",
        "actor",
        "position",
        sqlite_where=sa.text("actor <> account"),
        postgresql_where=sa.text("actor <> account"),
    ),
)

feed_heads = sa.Table(
    "feed_heads",
    metadata,
    _key("account"),
    sa.Column("seq", sa.BigInteger, nullable=False),
    _text("link"),
)

sharing_keys = sa.Table(
    "sharing_keys",
    metadata,
    _key("key"),
    _text("creator"),
    _text("record"),
    _text("signature"),
    _position(),
)

sharing_key_people = sa.Table(
    "sharing_key_people",
    metadata,
    _key("key"),
    _key("account"),
    _text("kind"),
    _text("given_by"),
    _text("connection", nullable=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("claimed", sa.Boolean, nullable=False),
    _text("wrap"),
    _text("record", nullable=True),
    _text("signature", nullable=True),
    _position(index=False),
    sa.Index("sharing_keys_of_account", "account", "position"),
)

sharing_key_notes = sa.Table(
    "sharing_key_notes",
    metadata,
    _key("key"),
    _key("account"),
    _text("note"),
)

sharing_key_records = sa.Table(
    "sharing_key_records",
    metadata,
    _key("key"),
    sa.Column("n", sa.Integer, primary_key=True),
    _text("record"),
    _text("signature"),
    _text("link", nullable=True),
    _position(),
)

suppliers = sa.Table(
    "suppliers",
    metadata,
    _key("supplier"),
    _text("called"),
    _text("public"),
    sa.Column("quota", sa.BigInteger, nullable=False),
    _text("replaced_by", nullable=True),
    _text("order", nullable=True),
    _position(),
)
