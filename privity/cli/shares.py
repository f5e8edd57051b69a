"""`privity share`: giving an item to a connected person, on conditions, and what one is given."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from privity.agent import ended, instructions, items, resharing, shares
from privity.agent.connections import Broken
from privity.agent.contents import chosen
from privity.agent.expiry import read_expiry
from privity.agent.files import Plain
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.reading import Share
from privity.agent.session import Session
from privity.agent.shares import Direction
from privity.agent.wanted import Condition
from privity.cli import delegated_shares
from privity.cli.configs import ShareConfig, read_config, to_json, write_config
from privity.cli.connections import raise_broken
from privity.cli.context import QUEUED, Row, context, queued, with_session
from privity.cli.delegated_shares import WaitOption
from privity.cli.delegations import AsOption
from privity.cli.files import OutOption, SmallOption, file_rows, save
from privity.crypto.sharing import Conditions, new_terms
from privity.errors import NotFound, TermsNotAccepted
from privity.messages.catalog import check_address

app = typer.Typer(help="Shares: what you give, and what you are given.", no_args_is_help=True)

COLUMNS = ("share", "label", "from", "to", "status", "expires")
OUTGOING = (*COLUMNS, "read_version")
ShareArgument = Annotated[str, typer.Argument(help="The share's id, or its beginning.")]
WHEN = "Until when: a day as yyyy-MM-dd, to its end in UTC, or a time as ISO 8601"
Expires = Annotated[str | None, typer.Option("--expires", metavar="WHEN", help=f"{WHEN}.")]
Consent = Annotated[bool, typer.Option("--unverified", help="Share although the connection is not verified.")]
TEXT = "A text that the other must accept before reading."
Slots = Annotated[list[str] | None, typer.Option("--slot", metavar="NAME", help="Only this value; again for more.")]
Files = Annotated[
    list[str] | None, typer.Option("--file", metavar="NAME", help="With this file, where not all goes; again for more.")
]
Terms = Annotated[str | None, typer.Option("--terms", metavar="TEXT", help=TEXT)]
Reshare = Annotated[bool, typer.Option("--reshare", help="The other may share it on, with one more person.")]
Hops = Annotated[
    int | None, typer.Option("--hops", min=0, max=8, help="Over how many hands it may go on from the other.")
]
Keep = Annotated[bool, typer.Option("--keep", help="The other may keep a copy after the share's end.")]


@app.command()
def create(
    ctx: typer.Context,
    item: Annotated[str | None, typer.Argument(help="The item's id, or its beginning.")] = None,
    address: Annotated[str | None, typer.Option("--with", metavar="ADDRESS", help="With whom.")] = None,
    slots: Slots = None,
    files: Files = None,
    expires: Expires = None,
    terms: Terms = None,
    reshare: Reshare = False,
    hops: Hops = None,
    keep: Keep = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="All of this from what `share config` wrote.")
    ] = None,
    unverified: Consent = False,
    principal: AsOption = None,
    wait: WaitOption = 0,
) -> None:
    """Share an item, or some of its values and files: sealed anew, for this one person."""
    options = (item, address, slots, files, expires, terms, reshare, hops, keep)
    wanted = _wanted(*options) if config is None else _written(config, options)
    if principal:
        _no_consent(unverified)
        return delegated_shares.create_share(ctx, principal, wanted, wait)
    wish = wanted.wish()
    made = with_session(
        ctx,
        lambda session, keyring, _: resharing.create(
            session,
            keyring,
            wanted.item,
            wanted.address,
            unverified=unverified,
            **wish,
        ),
    )
    context(ctx).show({"share": made.share, "connection": made.connection, **_row(made)})


@app.command("config")
def config_(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument(help="The item's id, or its beginning.")],
    address: Annotated[str, typer.Option("--with", metavar="ADDRESS", help="With whom.")],
    slots: Slots = None,
    files: Files = None,
    expires: Expires = None,
    terms: Terms = None,
    reshare: Reshare = False,
    hops: Hops = None,
    keep: Keep = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="To this new file.")] = None,
) -> None:
    """Write a share down, as JSON, to be edited and made by `share create --config`. Nothing is shared yet."""
    wanted = _wanted(item, address, slots, files, expires, terms, reshare, hops, keep)
    if wanted.expires is not None:
        read_expiry(wanted.expires)

    async def work(session: Session, keyring: Keyring, _: Profile) -> str:
        try:
            found = await items.show(session, keyring, wanted.item)
        except NotFound:
            given = await shares.incoming_of_item(session, keyring, wanted.item)
            chosen(given.content, wanted.slots, wanted.files)
            return given.item
        chosen(found.content, wanted.slots, wanted.files)
        return found.item

    written = replace(wanted, item=with_session(ctx, work))
    if out is not None:
        write_config(out, written)
    context(ctx).show(to_json(written), f"Next: privity share create --config {out}" if out is not None else "")


@app.command("list")
def list_(
    ctx: typer.Context,
    incoming: Annotated[bool, typer.Option("--incoming", help="Only what you are given.")] = False,
    outgoing: Annotated[bool, typer.Option("--outgoing", help="Only what you give.")] = False,
    with_ended: Annotated[
        bool, typer.Option("--ended", help="Those too that you gave once: what could the other have read?")
    ] = False,
    principal: AsOption = None,
) -> None:
    """All that is shared with you and by you, and with whom. `read_version` is what the other could have read of it."""
    if principal:
        if incoming or with_ended:
            raise typer.BadParameter("a delegate sees what the other gives now", param_hint="--as ADDRESS")
        return delegated_shares.list_shares(ctx, principal)
    direction: Direction = "all" if incoming == outgoing else "incoming" if incoming else "outgoing"
    found = with_session(ctx, lambda session, keyring, _: _all_of(session, keyring, direction))
    rows = [_broken_row(each) if isinstance(each, Broken) else _row(each) for each in found]
    if with_ended and direction != "incoming":
        gone = with_session(ctx, lambda session, keyring, _: ended.all_given(session, keyring))
        rows += [_ended_row(each) for each in gone if isinstance(each, ended.Ended)]
        shown = {each.id for each in found if isinstance(each, Broken)}
        lost = [each for each in gone if isinstance(each, Broken) and each.id not in shown]
        rows, found = rows + [_broken_row(each) for each in lost], [*found, *lost]
    context(ctx).show_all(rows, OUTGOING if direction == "outgoing" else COLUMNS, "No shares.")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, share: ShareArgument, principal: AsOption = None) -> None:
    """A share, opened on this device."""
    if principal:
        return delegated_shares.show_share(ctx, principal, share)
    found = with_session(ctx, lambda session, keyring, _: shares.show(session, keyring, share))
    terms = found.opened.terms
    context(ctx).show(
        {
            **_row(found),
            "slots": found.content.slots,
            "verified": found.verified,
            "terms": terms.text if terms is not None else None,
            **_provenance(found),
            **file_rows(found.content.files),
        }
    )


@app.command()
def accept(
    ctx: typer.Context,
    share: ShareArgument,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Accept without being asked.")] = False,
) -> None:
    """Read the terms of a share that you are given, and accept them; or do not: then it stays as it is."""
    found, terms = with_session(ctx, lambda session, keyring, _: shares.offered_terms(session, keyring, share))
    typer.echo(f"The terms of {found.sender}:\n\n{printable(terms.text)}\n", err=True)
    if not yes and not found.accepted and not typer.confirm("Do you accept them?", err=True):
        raise TermsNotAccepted("you did not accept the terms; the share stays, and waits")
    done = with_session(ctx, lambda session, keyring, _: shares.accept(session, keyring, found.share, terms.hash))
    context(ctx).show({**_row(done), "terms": terms.text})


@app.command()
def update(
    ctx: typer.Context,
    share: ShareArgument,
    terms: Annotated[str | None, typer.Option("--terms", metavar="TEXT", help=f"{TEXT} '' for none.")] = None,
    hops: Annotated[
        int | None, typer.Option("--hops", min=0, max=8, help="Over how many hands it may go on from the other.")
    ] = None,
    keep: Annotated[
        bool | None, typer.Option("--keep/--no-keep", help="Whether the other may keep a copy after the share's end.")
    ] = None,
    unverified: Consent = False,
    principal: AsOption = None,
    wait: WaitOption = 0,
) -> None:
    """Give the other the item as it is now; and on other conditions, if you name any."""
    other: dict[Condition, object] = {"reshare": hops, "keep": keep, "terms": new_terms(terms) if terms else None}
    changes = {name: value for name, value in other.items() if value is not None or (name == "terms" and terms == "")}
    _revised(ctx, share, changes, unverified, principal, wait)


@app.command()
def expire(
    ctx: typer.Context,
    share: ShareArgument,
    when: Annotated[str, typer.Argument(metavar="WHEN", help=f"{WHEN}; or never.")],
    unverified: Consent = False,
    principal: AsOption = None,
    wait: WaitOption = 0,
) -> None:
    """Have reading end at another time."""
    _revised(ctx, share, {"expires": read_expiry(when)}, unverified, principal, wait)


@app.command()
def keep(ctx: typer.Context, share: ShareArgument) -> None:
    """Keep a copy of what you are given as an item of your own, where its sender permits it."""
    kept = with_session(ctx, lambda session, keyring, _: shares.keep(session, keyring, share))
    context(ctx).show({"item": kept.item, "version": kept.version, "label": kept.content.label})


@app.command()
def file(
    ctx: typer.Context,
    share: ShareArgument,
    name: Annotated[str, typer.Argument(help="The file's name, as `share show` lists it.")],
    out: OutOption,
    small: SmallOption = False,
) -> None:
    """Write a file of a share, that you give or are given, to a new file here."""

    async def work(session: Session, keyring: Keyring, _: Profile) -> Plain:
        return await shares.read_file(session, keyring, await shares.show(session, keyring, share), name)

    context(ctx).show(save(with_session(ctx, work), out, small=small))


@app.command()
def rm(ctx: typer.Context, share: ShareArgument, principal: AsOption = None, wait: WaitOption = 0) -> None:
    """End a share, for both of you. What was read cannot be unread."""
    if principal:
        return delegated_shares.remove_share(ctx, principal, share, wait)

    async def work(session: Session, keyring: Keyring, _: Profile) -> Row:
        return {"share": await shares.remove(session, share), "status": "removed", **queued(session)}

    row = with_session(ctx, work)
    context(ctx).show(row, QUEUED if "queued" in row else "")


def _wanted(
    item: str | None,
    address: str | None,
    slots: list[str] | None,
    files: list[str] | None,
    expires: str | None,
    terms: str | None,
    reshare: bool,
    hops: int | None,
    keep: bool,
) -> ShareConfig:
    """What the options say."""
    if item is None or address is None:
        raise typer.BadParameter("name an item, and with whom; or a config file", param_hint="ITEM --with ADDRESS")
    return ShareConfig(
        item=item,
        address=check_address(address),
        slots=tuple(slots) if slots else None,
        files=tuple(files) if files else None,
        expires=expires,
        terms=terms,
        reshare=hops if hops is not None else int(reshare),
        keep=keep,
    )


def _written(config: Path, options: Iterable[object]) -> ShareConfig:
    """What the config file says; then nothing else is said beside it."""
    if any(options):
        raise typer.BadParameter("the file says it all; edit it instead", param_hint="--config")
    return read_config(config, ShareConfig)


def _no_consent(unverified: bool) -> None:
    if unverified:
        raise typer.BadParameter("that consent is for the one whose shares they are", param_hint="--unverified")


async def _all_of(session: Session, keyring: Keyring, direction: Direction) -> list[Share | Broken]:
    """What is shared; what delegates want done with it is done before."""
    if direction != "incoming":
        await instructions.fire(session, keyring)
    return await shares.all_of(session, keyring, direction)


def _revised(
    ctx: typer.Context,
    share: str,
    changes: Mapping[Condition, object],
    unverified: bool,
    principal: str | None,
    wait: int,
) -> None:
    if principal:
        _no_consent(unverified)
        return delegated_shares.update_share(ctx, principal, share, changes, wait)

    def change(before: Conditions) -> Conditions:
        return replace(before, **changes)  # type: ignore[arg-type]  # each is named after its field

    done = with_session(
        ctx, lambda session, keyring, _: resharing.update(session, keyring, share, change, unverified=unverified)
    )
    context(ctx).show(_row(done))


def printable(text: str) -> str:
    """Somebody else's text without codes for the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def _provenance(share: Share) -> Row:
    if share.way is None:
        return {}
    first = {"account": share.way.owner, "address": share.way.address}
    return {"original": True, "first_owner": first, "by": list(share.way.by)}


def _broken_row(broken: Broken) -> Row:
    row = {"share": broken.id, "label": None, "from": broken.peer, "to": broken.peer, "expires": None}
    return {**row, "status": f"broken: {broken.alarm.code}", "read_version": None}


def _ended_row(gone: ended.Ended) -> Row:
    row = {"share": gone.share, "label": None, "from": gone.sender, "to": gone.recipient, "status": "removed"}
    return {**row, "expires": None, "item": gone.item, "version": gone.version, "read_version": gone.version}


def _row(share: Share) -> Row:
    return {
        "share": share.share,
        "label": share.label,
        "from": share.sender,
        "to": share.recipient,
        "status": share.status,
        "expires": share.expires.isoformat() if share.expires is not None else None,
        "item": share.item,
        "version": share.version,
        "generation": share.generation,
        "read_version": share.read_version,
        "whole": share.shared.whole if share.shared is not None else None,
        "reshare": share.manifest.reshare,
        "keep": share.manifest.keep,
        "source": share.manifest.source,
        "connection": share.connection,
        "space": share.space,
    }
