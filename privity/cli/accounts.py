"""`privity account`: making an account, logging in and out, passphrase and recovery."""

import asyncio
from typing import Annotated

import typer

from privity.agent import accounts
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.cli.context import context, passphrase, with_session
from privity.errors import Unreachable

app = typer.Typer(help="Your account: who you are, on which devices.", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(help="Your address, e.g. alice@example.org.")]


@app.command()
def create(ctx: typer.Context, address: AddressArgument) -> None:
    """Make an account. Write down the secret (for other devices) and the recovery text (for the worst day)."""
    here = context(ctx)
    here.folder.check_free()
    server = here.connection_string()
    made = asyncio.run(accounts.create(here.folder, server, address.lower(), passphrase(new=True)))
    here.show(_new(made), "Keep secret and recovery off this device. Next: privity item add LABEL --set NAME=VALUE")
    if not made.registered:
        raise Unreachable("the backend did not answer; the registration is kept and sent with your next command")


@app.command()
def login(
    ctx: typer.Context,
    address: AddressArgument,
    secret: Annotated[
        str, typer.Option(help="The secret that `account create` gave.", envvar="PRIVITY_SECRET", prompt=True)
    ],
) -> None:
    """Use your account on this device, with passphrase and secret."""
    here = context(ctx)
    here.folder.check_free()
    server = here.connection_string()
    here.show(_row(asyncio.run(accounts.login(here.folder, server, address.lower(), secret, passphrase()))))


@app.command()
def recover(
    ctx: typer.Context,
    address: AddressArgument,
    recovery: Annotated[
        str, typer.Option(help="The recovery text.", envvar="PRIVITY_RECOVERY", prompt=True, hide_input=True)
    ],
) -> None:
    """Open your account by its recovery text; you choose a new passphrase and get a new secret."""
    here = context(ctx)
    here.folder.check_free()
    server = here.connection_string()
    address, chosen = address.lower(), passphrase(new=True)
    made = asyncio.run(accounts.recover(here.folder, server, address, recovery, chosen))
    here.show(_new(made), "The old secret opens nothing any more; keep the new one.")


@app.command()
def show(ctx: typer.Context) -> None:
    """Who you are here."""
    context(ctx).show(_row(with_session(ctx, lambda session, keyring, profile: accounts.show(session))))


@app.command("passphrase")
def change_passphrase(ctx: typer.Context) -> None:
    """Choose a new passphrase (PRIVITY_NEW_PASSPHRASE, or it asks). Other devices keep theirs until a new login."""

    async def work(session: Session, keyring: Keyring, profile: Profile) -> accounts.Account:
        chosen = passphrase(new=True, variable="PRIVITY_NEW_PASSPHRASE")
        await accounts.change_passphrase(session, keyring, profile, chosen)
        return await accounts.show(session)

    context(ctx).show(_row(with_session(ctx, work)))


@app.command()
def logout(ctx: typer.Context) -> None:
    """End this device's access, and take the account off it."""
    context(ctx).show(_row(with_session(ctx, accounts.logout)))


def _row(account: accounts.Account) -> dict[str, object]:
    return {"account": account.account, "address": account.address, "fingerprint": account.fingerprint}


def _new(account: accounts.NewAccount) -> dict[str, object]:
    return {
        "account": account.account,
        "address": account.address,
        "secret": account.secret,
        "fingerprint": account.fingerprint,
        "recovery": account.recovery,
    }
