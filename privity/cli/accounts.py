"""`privity account`: making an account, logging in and out, devices, keys, passphrase and recovery."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from privity.agent import accounts, identity
from privity.agent.closing import close_account
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.cli.context import context, passphrase, with_session
from privity.errors import ProfileExists, Unreachable

app = typer.Typer(help="Your account: who you are, on which devices.", no_args_is_help=True)

device = typer.Typer(help="One of your devices.", no_args_is_help=True)
app.add_typer(device, name="device")

FINISH = "privity account rotate --compromised"
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
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Somebody else may have your keys: what they sign counts for nobody.")
    ] = False,
) -> None:
    """Open your account by its recovery text, whoever holds it: new passphrase, secret and keys, no other device."""
    here = context(ctx)
    if compromised and here.folder.exists():
        raise ProfileExists(f"there is an account in this profile; to finish an interrupted recovery: {FINISH}")
    here.folder.check_free()
    server = here.connection_string()
    address, chosen = address.lower(), passphrase(new=True)
    recovering = accounts.recover(here.folder, server, address, recovery, chosen, compromised=compromised)
    made = asyncio.run(recovering)
    here.show(_new(made), "The old secret opens nothing any more; keep the new one.")
    if not made.finished:
        raise Unreachable(f"the account is yours again, and the keys before are not given up yet; finish it: {FINISH}")


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
def devices(ctx: typer.Context) -> None:
    """The devices that may act for you; `since` is the number of the identity record that brought one."""
    found = with_session(ctx, lambda session, keyring, profile: identity.devices(session, profile.device))
    rows = [{"device": each.device, "this": each.this, "since": each.since} for each in found]
    context(ctx).show_all(rows, ("device", "this", "since"), "No devices.")


@device.command()
def rm(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The device's id, or its beginning.")],
) -> None:
    """Take another device off your account: it can do nothing more. One that was stolen: `account rotate` too."""
    removed, account = with_session(
        ctx, lambda session, keyring, profile: identity.remove_device(session, keyring, profile.device, id)
    )
    hint = "If somebody else may have it: privity account rotate --compromised"
    context(ctx).show({"device": removed, **_row(account)}, hint)


@app.command()
def rotate(
    ctx: typer.Context,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised",
            help="Somebody else may have the keys: what they sign from now on counts for nobody; all other devices go.",
        ),
    ] = False,
) -> None:
    """Renew your identity keys. Connections and shares go on working by themselves."""

    async def work(session: Session, keyring: Keyring, profile: Profile) -> identity.Account:
        return await identity.rotate(session, keyring, profile.device, compromised=compromised)

    account = with_session(ctx, work)
    hint = "Tell the people whom you are connected with: they are asked to verify you again." if compromised else ""
    context(ctx).show(_row(account), hint)


@app.command()
def rename(ctx: typer.Context, address: AddressArgument) -> None:
    """Go by another address. The one before stays yours, and people go on with the name that they know."""
    context(ctx).show(_row(with_session(ctx, lambda session, keyring, profile: identity.rename(session, address))))


@app.command()
def logout(ctx: typer.Context) -> None:
    """End this device's access, and take the account off it."""
    context(ctx).show(_row(with_session(ctx, accounts.logout)))


@app.command()
def close(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether you are sure.")] = False,
) -> None:
    """End your account for ever: its shares, connections and items go first, and their sealed bytes are erased."""
    address = context(ctx).folder.load().address
    if not yes:
        typer.confirm(f"End {address} and all that is in it? Nothing brings it back.", abort=True, err=True)
    gone = with_session(ctx, close_account)
    context(ctx).show({**asdict(gone), "status": "closed"})


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
