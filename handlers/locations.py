"""Locations: making and ending them, and each change of their lines."""

from dataclasses import asdict

from domain import location, sharing_key, supplier
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.locations import Manifest, objects_digest, verify_manifest
from privity.encoding import digest, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.locations import ChangeLocation, CreateLocation, RemoveLocation


@handles(CreateLocation)
def create_location(command: CreateLocation, desk: Desk) -> list[Event]:
    """Under a key of one's own, on suppliers that there are."""
    known = [each for each in command.suppliers if desk.load(supplier.State, each).stands]
    return location.decide_create(
        command,
        desk.load(location.State, command.location),
        desk.by,
        access=access_to(command.location, desk),
        suppliers=known,
    )


@handles(ChangeLocation)
def change_location(command: ChangeLocation, desk: Desk) -> list[Event]:
    """The manifest must be signed by the writer's identity, and say just what the command says."""
    access = access_to(command.location, desk)
    state = desk.load(location.State, command.location)
    location.check_writes(state, desk.by, access)  # first: no signature tells what is there
    manifest = _verified(command, desk)
    named = digest(unb64(command.manifest))
    written = location.Written(named, manifest.n, manifest.prev, manifest.generation)
    size = desk.sizes[command.body]
    return location.decide_change(command, state, desk.by, access=access, written=written, size=size)


@handles(RemoveLocation)
def remove_location(command: RemoveLocation, desk: Desk) -> list[Event]:
    """Its creator alone; a long line in parts."""
    state = desk.load(location.State, command.location)
    return location.decide_remove(command, state, desk.by, access=access_to(command.location, desk))


def access_to(id: str, desk: Desk) -> location.Access:
    """Who has the private part of a location's key now."""
    key = desk.load(sharing_key.State, id)
    return location.Access() if key.ended else location.Access(key.creator, key.generation, key.holders)


def _verified(command: ChangeLocation, desk: Desk) -> Manifest:
    public = identity_of(desk.by.account, desk.load).sign
    manifest = verify_manifest(unb64(command.manifest), unb64(command.signature), public)
    objects = objects_digest([asdict(each) for each in command.objects], command.released)
    said = (manifest.location, manifest.by, manifest.body, manifest.objects)
    if said != (command.location, desk.by.account, command.body, objects):
        raise Malformed("the manifest says something else than the command")
    desk.home.check_named(manifest.checkpoint)
    return manifest
