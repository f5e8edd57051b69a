"""`privity invite`, `invitation`, `accept` and `decline`: how two people come to a connection."""

import sys
from typing import Annotated

import typer

from privity.agent import intents, invitations
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.cli.connections import connection_row
from privity.cli.context import Row, context, with_session
from privity.crypto.kem import Suite
from privity.messages.views import InvitationRow

app = typer.Typer(help="Invitations, from you and to you.", no_args_is_help=True)

COLUMNS = ("invitation", "email", "from", "status", "expires")
NameOption = Annotated[str, typer.Option(help="Your own name for the other; nobody else can read it.")]
KeyOption = Annotated[str | None, typer.Option(metavar="KEY", help="Reuse a stored keypair, by id.")]
SuiteOption = Annotated[Suite, typer.Option(help="The kind of keypair that is made.")]
LinkArgument = Annotated[
    str,
    typer.Argument(
        help="The invitation's link; quote it. With - it is read from stdin: other people of this "
        "machine can see a command's arguments, and the link holds a secret."
    ),
]
InvitationArgument = Annotated[str, typer.Argument(help="The invitation's id, or its beginning.")]


def invite(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(help="Whom: an e-mail address.")],
    name: NameOption = "",
    key: KeyOption = None,
    suite: SuiteOption = Suite.X_WING,
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="An item to be shared once they have accepted; again for more."),
    ] = None,
) -> None:
    """Invite somebody. Hand the link over yourself: its secret part makes the connection verified."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> invitations.Invited:
        wanted = await intents.checked(session, keyring, share or ())
        return await invitations.invite(session, keyring, email, name=name, key=key, suite=suite, intents=wanted)

    invited = with_session(ctx, work)
    hint = "Hand over the whole link, quoted; the e-mail that goes out does not have its secret part."
    context(ctx).show({"invitation": invited.invitation, "link": invited.link}, hint)


def accept(
    ctx: typer.Context,
    link: LinkArgument,
    name: NameOption = "",
    key: KeyOption = None,
    suite: SuiteOption = Suite.X_WING,
) -> None:
    """Accept an invitation."""
    made = with_session(
        ctx,
        lambda session, keyring, _: invitations.accept(session, keyring, _link(link), name=name, key=key, suite=suite),
    )
    hint = (
        ""
        if made.verified
        else f"Not verified: compare the safety number, then privity connection verify {made.connection[:8]}"
    )
    context(ctx).show(connection_row(made), hint)


def decline(ctx: typer.Context, link: LinkArgument) -> None:
    """Say no to an invitation."""
    offer = with_session(ctx, lambda session, _, __: invitations.decline(session, _link(link)))
    context(ctx).show(
        {"connection": None, "peer": offer.inviter_address, "verified": False, "invitation": offer.invitation}
    )


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Invitations from you, and those to your address."""
    rows = with_session(ctx, lambda session, _, __: invitations.all_both_ways(session))
    context(ctx).show_all([_row(row) for row in rows], COLUMNS, "No invitations. Invite somebody: privity invite EMAIL")


@app.command()
def show(ctx: typer.Context, invitation: InvitationArgument) -> None:
    """One invitation."""
    context(ctx).show(_row(with_session(ctx, lambda session, _, __: invitations.find(session, invitation))))


@app.command()
def cancel(ctx: typer.Context, invitation: InvitationArgument) -> None:
    """Take an invitation back."""
    context(ctx).show(_row(with_session(ctx, lambda session, _, __: invitations.cancel(session, invitation))))


def _link(text: str) -> str:
    return sys.stdin.readline() if text == "-" else text


def _row(row: InvitationRow) -> Row:
    return {
        "invitation": row.invitation,
        "email": row.email,
        "status": row.status,
        "expires": row.expires.isoformat(),
        "from": row.inviter_address,
        "incoming": row.incoming,
        "connection": row.connection,
    }
