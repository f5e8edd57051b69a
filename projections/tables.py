"""The tables of all views, and how far they have got."""

import sqlalchemy as sa

metadata = sa.MetaData()


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
    _position(),
    sa.Index("items_of_owner", "owner", "position"),
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
    _position(),
    sa.Index("shares_of_owner", "owner", "position"),
    sa.Index("shares_of_recipient", "recipient", "position"),
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

feed = sa.Table(
    "feed",
    metadata,
    _key("account"),
    sa.Column("position", sa.BigInteger, primary_key=True),
    _text("event"),
    _text("at"),
    _text("actor"),
    sa.Column("refs", sa.JSON, nullable=False),
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
