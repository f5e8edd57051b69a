"""Somebody makes another a holder of a sharing key, with the one command that it takes."""

from dataclasses import replace

from privity.agent import connections, sharing_keys
from privity.agent.identity import current, newest_checkpoint
from privity.agent.sharing_keys import SharingKey
from privity.crypto.sharing_keys import PartPlace, PrivatePart, link_part, seal_part, sign_record, wrap_part
from privity.encoding import b64, digest, new_id
from privity.messages.sharing_keys import GrantSharingKey, RotateSharingKey
from privity.testing.people import Person


async def hold(owner: Person, name: str, holder: Person, part: PrivatePart | None = None) -> SharingKey:
    """The key as its owner has it then; with another `part` than the key's, what a cheat would send."""
    async with owner.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        key = await sharing_keys.show(session, keyring, name)
        over = await connections.with_person(session, keyring, holder.address)
        record = replace(
            key.record,
            n=key.record.n + 1,
            prev=digest(key.record_bytes),
            holders=tuple(sorted({*key.record.holders, over.peer})),
            checkpoint=await newest_checkpoint(session),
        )
        data, signature = sign_record(keyring.identity.sign, record)
        place = PartPlace(
            key=key.id, generation=key.generation, by=session.account, to=over.peer, connection=over.connection
        )
        wrap = seal_part(over.suite, over.public, part or key.private(), key.full_alias, place)
        command = GrantSharingKey(
            key.id,
            new_id(),
            over.peer,
            over.connection,
            record.n,
            b64(data),
            b64(signature),
            digest(wrap),
        )
        await session.send(command, wrap)
        return await sharing_keys.show(session, keyring, key.id)


async def turn(owner: Person, name: str, *staying: Person) -> SharingKey:
    """The next generation of a key, for who stays."""
    async with owner.session() as (session, keyring):
        keyring, _ = await current(session, keyring)
        key = await sharing_keys.show(session, keyring, name)
        part, generation = PrivatePart.generate(), key.generation + 1
        over = [await connections.with_person(session, keyring, each.address) for each in staying]
        record = replace(
            key.record,
            n=key.record.n + 1,
            prev=digest(key.record_bytes),
            generation=generation,
            seal=part.pair.public,
            sign=part.sign.public,
            holders=tuple(sorted(each.peer for each in over)),
            checkpoint=await newest_checkpoint(session),
        )
        data, signature = sign_record(keyring.identity.sign, record)
        wraps = {session.account: wrap_part(keyring.kek, part, key.id, generation, session.account)}
        for each in over:
            place = PartPlace(
                key=key.id, generation=generation, by=session.account, to=each.peer, connection=each.connection
            )
            wraps[each.peer] = seal_part(each.suite, each.public, part, key.full_alias, place)
        link = link_part(part, key.private(), key.id, generation)
        dropped = tuple(each for each in key.record.holders if each not in record.holders)
        named = {account: digest(wrap) for account, wrap in wraps.items()}
        command = RotateSharingKey(
            key.id, record.n, generation, dropped, b64(data), b64(signature), named, digest(link)
        )
        await session.send(command, *wraps.values(), link)
        return await sharing_keys.show(session, keyring, key.id)
