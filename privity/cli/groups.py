"""`privity group`: an encryption space with several members, and what they post to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer
from rich import progress as rich_progress

from privity.agent import groups
from privity.agent.connections import Broken
from privity.agent.group_members import Person, Progress
from privity.agent.group_opening import Group
from privity.agent.groups import GroupPost
from privity.agent.keyring import Keyring
from privity.agent.profile import Profile
from privity.agent.session import Session
from privity.cli.connections import raise_broken
from privity.cli.context import Context, Row, context, with_session

app = typer.Typer(help="Groups: one key for many members, and what they post.", no_args_is_help=True)

COLUMNS = ("group", "name", "role", "epoch", "members", "status")
PEOPLE = ("account", "address", "known", "role", "status")
POSTS = ("post", "label", "author", "version", "status")
Role = Literal["reader", "writer", "admin"]
GroupArgument = Annotated[str, typer.Argument(help="The group's id, or its beginning.")]
PostArgument = Annotated[str, typer.Argument(help="The post's id, or its beginning.")]
Whom = Annotated[str, typer.Argument(metavar="ADDRESS", help="The member's address, or account id.")]
WhomAll = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Addresses, or account ids.")]
RoleOption = Annotated[Role, typer.Option("--role", help="Who reads, who writes too, who says who is in.")]
RoleArgument = Annotated[Role, typer.Argument(help="Who reads, who writes too, who says who is in.")]


@app.command()
def create(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="How the members call it; nobody else reads it.")]
) -> None:
    """Make a group with you alone in it, as its admin."""
    made = with_session(ctx, lambda session, keyring, _: groups.create(session, keyring, name))
    context(ctx).show(_row(made), hint=f"privity group add {made.group[:8]} ADDRESS")


@app.command()
def add(
    ctx: typer.Context,
    group: GroupArgument,
    addresses: WhomAll,
    role: RoleOption = "reader",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Add them although the connection is not verified.")
    ] = False,
) -> None:
    """Take people in whom you are connected with; they read what was posted before, too."""
    with _progress(context(ctx)) as progress:
        changed = with_session(
            ctx,
            lambda session, keyring, _: groups.add(
                session, keyring, group, addresses, role, unverified=unverified, progress=progress
            ),
        )
    context(ctx).show(_row(changed))


@app.command()
def role(ctx: typer.Context, group: GroupArgument, address: Whom, role: RoleArgument) -> None:
    """Give a member another role."""
    changed = with_session(ctx, lambda session, keyring, _: groups.set_role(session, keyring, group, address, role))
    context(ctx).show(_row(changed))


@app.command()
def drop(
    ctx: typer.Context,
    group: GroupArgument,
    addresses: WhomAll,
    now: Annotated[
        bool, typer.Option("--now", help="Seal what you posted anew at once, not with its next version.")
    ] = False,
) -> None:
    """Drop members: who stays gets a new key, and nothing new opens for the others. What was read cannot be unread."""
    with _progress(context(ctx)) as progress:

        async def work(session: Session, keyring: Keyring, _: Profile) -> tuple[Group, int]:
            changed = await groups.drop(session, keyring, group, addresses, progress=progress)
            return changed, len(await groups.reseal(session, keyring, changed.group)) if now else 0

        changed, resealed = with_session(ctx, work)
    context(ctx).show({**_row(changed), "resealed": resealed})


@app.command()
def leave(ctx: typer.Context, group: GroupArgument) -> None:
    """Go by yourself; an admin's agent makes a new key for who stays."""
    left = with_session(ctx, lambda session, keyring, _: groups.leave(session, keyring, group))
    context(ctx).show({"group": left, "status": "left"})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The groups that you are in."""
    found = with_session(ctx, lambda session, keyring, _: groups.all_own(session, keyring))
    rows = [_broken_row(each) if isinstance(each, Broken) else _row(each) for each in found]
    context(ctx).show_all(rows, COLUMNS, "No groups. Make one: privity group create NAME")
    raise_broken(found)


@app.command()
def show(ctx: typer.Context, group: GroupArgument) -> None:
    """A group: its name, your role, its epoch, how many members."""
    found = with_session(ctx, lambda session, keyring, _: groups.show(session, keyring, group))
    context(ctx).show({**_row(found), "creator": found.history.at(1).by, "key": found.epoch.key})


@app.command()
def members(ctx: typer.Context, group: GroupArgument) -> None:
    """Who is in a group, as its admin signed it; addresses are sure for those whom you are connected with."""
    found = with_session(ctx, lambda session, keyring, _: groups.members(session, keyring, group))
    context(ctx).show_all([_person(each) for each in found], PEOPLE, "Nobody.")


@app.command()
def post(
    ctx: typer.Context,
    group: GroupArgument,
    item: Annotated[str, typer.Argument(help="Your item's id, or its beginning.")],
    replaces: Annotated[
        str | None, typer.Option("--as", metavar="POST", help="As the next version of a post of yours.")
    ] = None,
) -> None:
    """Post an item: it is sealed once, for all members."""
    made = with_session(ctx, lambda session, keyring, _: groups.post(session, keyring, group, item, replaces=replaces))
    context(ctx).show(_post(made))


@app.command()
def items(ctx: typer.Context, group: GroupArgument) -> None:
    """All that stands in a group, in the order in which it was written."""
    found = with_session(ctx, lambda session, keyring, _: groups.posts(session, keyring, group))
    rows = [_broken_post(each) if isinstance(each, Broken) else _post(each) for each in found]
    context(ctx).show_all(rows, POSTS, "Nothing was posted.")
    raise_broken(found)


@app.command()
def read(ctx: typer.Context, group: GroupArgument, post: PostArgument) -> None:
    """A post, opened on this device."""
    found = with_session(ctx, lambda session, keyring, _: groups.read(session, keyring, group, post))
    context(ctx).show({**_post(found), "slots": found.content.slots})


@app.command()
def withdraw(ctx: typer.Context, group: GroupArgument, post: PostArgument) -> None:
    """Take a post back: yours, or as an admin anybody's."""
    gone = with_session(ctx, lambda session, keyring, _: groups.withdraw(session, keyring, group, post))
    context(ctx).show({"post": gone, "status": "withdrawn"})


@contextmanager
def _progress(here: Context) -> Iterator[Progress | None]:
    """A bar for a person who waits; a script gets none."""
    if here.json or not here.console.is_terminal:
        yield None
        return
    columns = (rich_progress.TextColumn("keys"), rich_progress.BarColumn(), rich_progress.MofNCompleteColumn())
    with rich_progress.Progress(*columns, console=here.console, transient=True) as bar:
        task = bar.add_task("keys", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _row(group: Group) -> Row:
    return {
        "group": group.group,
        "name": group.name,
        "epoch": group.epoch.epoch,
        "role": group.role,
        "members": group.size,
        "status": "member",
    }


def _broken_row(broken: Broken) -> Row:
    row = dict.fromkeys(("name", "epoch", "role", "members"))
    return {"group": broken.id, **row, "status": f"broken: {broken.alarm.code}"}


def _person(person: Person) -> Row:
    return {
        "account": person.account,
        "address": person.address,
        "known": person.known,
        "role": person.role,
        "status": "left" if person.left else "member",
    }


def _post(post: GroupPost) -> Row:
    return {
        "group": post.group,
        "post": post.post,
        "label": post.content.label,
        "author": post.author,
        "own": post.own,
        "version": post.version,
        "status": "posted",
    }


def _broken_post(broken: Broken) -> Row:
    row = {"group": None, "post": broken.id, "label": None, "author": broken.peer, "own": None, "version": None}
    return {**row, "status": f"broken: {broken.alarm.code}"}
