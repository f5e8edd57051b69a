"""All that can happen to pieces between two connected people, by their agents."""

from privity.agent import pieces, profiles, requests, rules
from privity.testing.people import Person


async def ask_and_answer(owner: Person, asker: Person) -> None:
    """Every kind of event about pieces, requests and rules; the asker reads the phone in the end, and asks for mail."""
    async with owner.session() as (hers, ann), asker.session() as (his, bob):
        for name in ("phone", "mail", "gone"):
            await pieces.put(hers, ann, name, f"first {name}")
        await pieces.remove(hers, ann, "gone")
        await rules.add(hers, ann, "phone")
        asked = await requests.create(his, bob, owner.address, "phone")
        await requests.decline(hers, ann, asked.request)
        for dropped in (True, False):
            asked = await requests.create(his, bob, owner.address, "phone")
            await requests.approve(hers, ann, asked.request)
            assert (await profiles.piece(his, bob, "phone", owner.address)).value == "first phone"
            if dropped:
                await pieces.drop(hers, ann, "phone", asker.address)
        asked = await requests.create(his, bob, owner.address, "mail")
        await requests.withdraw(his, bob, asked.request)
        await requests.create(his, bob, owner.address, "mail")
