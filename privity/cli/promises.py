"""The second part of `privity demo`: what sharing promises, and who holds it: terms, expiry, hands, requests, keys."""

from typing import Any

from privity.cli.stage import Stage, yes
from privity.testing.people import Person

PHONE = "CANARY-06-1234567"
NEWER_PHONE = "CANARY-06-7654321"
TERMS = "CANARY terms: call me, and do not write it on any wall"


class Promises:
    """Alice's card goes to Bob on conditions, and from him to Eve, who is a stranger to Alice no more at the end."""

    def __init__(self, stage: Stage, alice: Person, bob: Person, eve: Person) -> None:
        self._stage = stage
        self.alice, self.bob, self.eve = alice, bob, eve

    def run(self) -> None:
        """All of it, in order."""
        item = self._card()
        share = self._terms(item)
        self._expiry(share)
        self._passed_on(item)
        self._piece()
        self._dropped()

    def _card(self) -> str:
        slots = ("--set", f"phone={PHONE}", "--set", "mail=alice@localhost", "--set", "city=Utrecht")
        item: str = self.alice.json("item", "add", "Alice's card", *slots)["item"]
        return item

    def _terms(self, item: str) -> str:
        self._stage.step(
            "One slot, on terms",
            "Alice shares her phone number and nothing else of her card. Bob is to accept her terms first: until he "
            "has signed them, the backend keeps content and key from him.",
        )
        conditions = ("--slot", "phone", "--terms", TERMS, "--reshare", "--expires", "2100-01-01")
        share: str = self.alice.json("share", "create", item, "--with", self.bob.address, *conditions)["share"]
        refused = self.bob.run("share", "show", share)
        self._stage.fact(self.bob, f"[red]{refused.err.strip()}[/]")
        self.bob.json("share", "accept", share, "-y")
        read = self.bob.json("share", "show", share)
        self._stage.fact(self.bob, f"accepted the terms; reads {read['slots']}")
        self._stage.check("before the terms are accepted nothing is read", "error: TermsNotAccepted:" in refused.err)
        self._stage.check("in a one-slot share is that slot and nothing else", read["slots"] == {"phone": PHONE})
        return share

    def _expiry(self, share: str) -> None:
        self._stage.step("An end", "Alice changes until when it may be read; a time that has passed is refused.")
        changed = self.alice.json("share", "expire", share, "2099-01-01")
        past = self.alice.run("share", "expire", share, "2020-01-01")
        self._stage.fact(self.alice, f"ends {changed['expires']}; and: [red]{past.err.strip()}[/]")
        read = self.bob.json("share", "show", share)
        self._stage.check("the end of a share can be changed", read["expires"].startswith("2099-01-01"))
        self._stage.check("and lies in the future", past.code == 1 and "error: PastDate:" in past.err)

    def _passed_on(self, item: str) -> None:
        self._stage.step(
            "Shared on, and proven original",
            "Alice permitted one more hand. Bob shares on to Eve; Alice's signature over the value and her permission "
            "go along, inside the ciphertext. Eve, whom Alice never met, checks both.",
        )
        self._connect(self.bob, self.eve)
        passed = self.bob.json("share", "create", item, "--with", self.eve.address, "--slot", "phone")["share"]
        self.eve.json("share", "accept", passed, "-y")
        read = self.eve.json("share", "show", passed)
        self._stage.fact(self.eve, f"reads {read['slots']}, original: {yes(read['original'])}")
        self._stage.check("what was shared on is proven to be the original", read["original"] is True)
        further = self.eve.run("share", "create", item, "--with", self.bob.address)
        self._stage.fact(self.eve, f"shares it on once more: [red]{further.err.strip()}[/]")
        self._stage.check("and goes no further than was permitted", further.code == 1)

    def _piece(self) -> None:
        self._stage.step(
            "A request, and its approval",
            "Alice keeps her phone number as a piece: others see that there is one. Bob asks, with a challenge that "
            "only she can open; Eve too, and for her a rule of Alice's answers.",
        )
        self._connect(self.alice, self.eve)
        self.alice.json("piece", "set", "phone", PHONE)
        self.alice.json("rule", "add", "phone", "--for", self.eve.address)
        for asker in (self.bob, self.eve):
            self._asks(asker)
        by_hand = [each for each in self.alice.json("request", "list") if each["from"] == self.bob.address]
        self.alice.json("request", "approve", by_hand[0]["request"])
        self.alice.json("tasks", "--retry")
        for asker in (self.bob, self.eve):
            self._stage.fact(asker, f"reads Alice's phone: {self._phone(asker)}")
            self._stage.check(f"{_name(asker)} reads what Alice approved", self._phone(asker) == PHONE)

    def _asks(self, asker: Person) -> None:
        names = [each["name"] for each in asker.json("piece", "list", self.alice.address)]
        asked = asker.json("request", "create", self.alice.address, "phone")
        self._stage.fact(asker, f"sees {', '.join(names)}; asks: {asked['status']}")

    def _dropped(self) -> None:
        self._stage.step(
            "Dropped, and a new key for the rest",
            "Alice drops Bob, and changes her number. The new value is under a key that Bob never gets. What he has "
            "read he has read.",
        )
        self.alice.json("piece", "drop", "phone", self.bob.address)
        self.alice.json("piece", "set", "phone", NEWER_PHONE)
        left = self._phone(self.eve)
        tried = self.bob.json("piece", "show", "phone", "--of", self.alice.address)
        self._stage.fact(self.eve, f"reads {left}")
        self._stage.fact(self.bob, f"reads {tried['value']}, it is {tried['status']}")
        self._stage.check("who is left reads the new value", left == NEWER_PHONE)
        self._stage.check("the dropped one does not", tried["value"] is None)

    def _phone(self, reader: Person) -> Any:
        return reader.json("piece", "show", "phone", "--of", self.alice.address)["value"]

    def _connect(self, inviter: Person, acceptor: Person) -> None:
        acceptor.json("accept", inviter.json("invite", acceptor.address)["link"])
        inviter.json("connection", "show", acceptor.address)


def _name(person: Person) -> str:
    return person.address.partition("@")[0].capitalize()
