"""`privity demo`: Alice and Bob, two profiles and a real backend, told step by step and checked at the end."""

import base64
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from privity.cli.context import Context
from privity.cli.folders import FILMED, LATER, SUPPLIERS, Folders
from privity.cli.promises import PHONE, TERMS, Promises
from privity.cli.stage import Stage, yes
from privity.testing.home import RunningHome
from privity.testing.people import Person

NUMBER = "CANARY-P1234567"
LABEL = "Passport of Alice"
NAME = "Bobby from the choir"
PASSPHRASES = {"alice": "the walrus and the carpenter", "bob": "mimsy were the borogoves", "eve": "let me in"}


def tell(here: Context, *, keep: bool) -> bool:
    """Tell the story in a temporary home; whether all that was checked held."""
    folder = Path(tempfile.mkdtemp(prefix="privity-demo-"))
    stage = Stage(Console(stderr=True) if here.json else here.console)
    try:
        with RunningHome(folder / "home", suppliers=SUPPLIERS) as home:
            Story(stage, folder, home).run()
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return stage.conclude(here, folder if keep else None)


class Story:
    """The main flow, from the first account to a share that is gone; and what more sharing can promise."""

    def __init__(self, stage: Stage, folder: Path, home: RunningHome) -> None:
        self._stage = stage
        self._home = home
        self.alice, self.bob, self.eve = (
            Person(f"{name}@localhost", folder / name, home.url, passphrase) for name, passphrase in PASSPHRASES.items()
        )
        self._promises = Promises(stage, self.alice, self.bob, self.eve)
        self._folders = Folders(stage, home, folder, self.alice, self.bob)

    def run(self) -> None:
        """All of it, in order."""
        self._accounts()
        item = self._item()
        link = self._invitation()
        self._connection(link)
        share = self._share(item)
        self._reading(item, share)
        self._stranger(share)
        self._end(share)
        self._promises.run()
        self._folders.run()
        self._replay()

    def _accounts(self) -> None:
        self._stage.step(
            "Accounts", "Each agent makes its own keys. The backend gets public parts, and wraps that it cannot open."
        )
        for person in (self.alice, self.bob):
            made = person.json("account", "create", person.address)
            self._stage.fact(person, f"account [cyan]{made['account'][:12]}…[/], fingerprint {made['fingerprint']}")
        self._stage.where(
            ("passphrase, account secret, recovery text", "the person, nowhere else"),
            ("KEK", "Keystore, wrapped by the unlock key = Argon2id(passphrase) with the secret"),
            ("identity, Ed25519 and X-Wing", "private parts in the Keystore, wrapped by the KEK"),
        )

    def _item(self) -> str:
        self._stage.step("An item", "Alice keeps her passport: sealed under a DEK, the DEK encrypted with her KEK.")
        item: str = self.alice.json("item", "add", LABEL, "--set", f"number={NUMBER}", "--set", "country=NL")["item"]
        self._stage.fact(self.alice, f"item [cyan]{item}[/]: number = {NUMBER}")
        self._sees("item-added", "content")
        return item

    def _invitation(self) -> str:
        self._stage.step(
            "Invitation to connect (steps 1-9)",
            "Alice's agent makes a keypair for this connection, stores the private part in the Keystore, encrypted by "
            "her KEK, publishes the public part, and invites Bob by e-mail and key.",
        )
        link: str = self.alice.json("invite", self.bob.address, "--name", NAME)["link"]
        front, _, secret = link.partition("#")
        self._stage.fact(
            self.alice, f"link [cyan]{front}#[/][bold red]{secret[:6]}…[/]  (the part after # goes from hand to hand)"
        )
        return link

    def _connection(self, link: str) -> None:
        self._stage.step(
            "Accepting the invitation (steps 10-18)",
            "Bob's agent does the same for its side and answers with invitation and token; the link's secret proves "
            "both keys, so no backend can stand between.",
        )
        theirs = self.bob.json("accept", link)
        ours = self.alice.json("connection", "show", self.bob.address)
        self._stage.fact(self.bob, f"connected with {theirs['peer']}, verified: {yes(theirs['verified'])}")
        self._stage.fact(
            self.alice, f"connected with {ours['peer']} “{ours['name']}”, verified: {yes(ours['verified'])}"
        )
        self._stage.fact(None, f"safety number, the same for both: {ours['safety_number'][:35]}…")
        self._stage.check("the connection is verified for both", theirs["verified"] and ours["verified"])
        self._stage.check("both see the same safety number", theirs["safety_number"] == ours["safety_number"])

    def _share(self, item: str) -> str:
        self._stage.step(
            "Creating a share (steps 19-32)",
            "Bob is not there. Alice's agent makes a DEK for just this share, re-encrypts the item with it, and wraps "
            "the DEK twice: under her KEK, and sealed to Bob's public key. The two wraps are the encryption space.",
        )
        made = self.alice.json("share", "create", item, "--with", self.bob.address)
        self._stage.fact(self.alice, f"share [cyan]{made['share']}[/], status {made['status']}")
        self._stage.where(
            ("the share's DEK", "encryption space: once under Alice's KEK, once sealed to Bob's connection key"),
            ("connection keypairs", "private parts in the Keystore, each under its owner's KEK"),
            ("the invitation's secret", "the link; and sealed under a KEK until both sides were sure of each other"),
        )
        self._sees("share-created", "recipient_wrap")
        share: str = made["share"]
        return share

    def _reading(self, item: str, share: str) -> None:
        self._stage.step(
            "Reading the share (steps 33-43)",
            "Bob comes back: he finds the share, unseals the DEK with his private key, opens the item, and keeps the "
            "DEK under his own KEK. Later reads need no private key.",
        )
        listed = self.bob.json("share", "list", "--incoming")
        read = self.bob.json("item", "show", item)
        written = self.alice.json("item", "show", item)
        self._stage.fact(self.bob, f"item of {read['owner']}, own: {yes(read['own'])}: {json.dumps(read['slots'])}")
        self._stage.check("Bob found the share by himself", [each["share"] for each in listed] == [share])
        self._stage.check(
            "Bob's plaintext equals Alice's", read["slots"] == written["slots"] and read["label"] == LABEL
        )

    def _stranger(self, share: str) -> None:
        self._stage.step("A stranger", "Eve has an account here too, and knows the share's id.")
        self.eve.json("account", "create", self.eve.address)
        tried = self.eve.run("share", "show", share)
        self._stage.fact(self.eve, f"[red]{tried.err.strip()}[/]")
        self._stage.check("a stranger gets NotFound", tried.code == 1 and "error: NotFound:" in tried.err)

    def _end(self, share: str) -> None:
        self._stage.step(
            "Ending the share", "Either of the two can. What was read cannot be unread; nothing more is served."
        )
        self.bob.json("share", "rm", share)
        tries = {person: person.run("share", "show", share) for person in (self.alice, self.bob)}
        for person, tried in tries.items():
            self._stage.fact(person, f"[red]{tried.err.strip()}[/]")
        gone = all(tried.code == 1 and "NotFound" in tried.err for tried in tries.values())
        self._stage.check("the deleted share is gone for both", gone)

    def _replay(self) -> None:
        self._stage.step(
            "Looking into the backend", "Its files are searched, and all its views are folded anew from event 1."
        )
        found = [name for name, secret in self._secrets().items() if any(self._files_with(secret))]
        self._stage.fact(None, f"searched: {', '.join(self._secrets())}")
        self._stage.check("the backend's files hold no plaintext, name or passphrase", not found)
        self._stage.check(
            "the search itself works: it finds what the backend may know", any(self._files_with(self.bob.address))
        )
        replayed = self.alice.run("--json", "replay", "--verify", "--data", str(self._home.data))
        self._stage.fact(None, f"replayed up to position {json.loads(replayed.out or '{}').get('position', '?')}")
        self._stage.check("all views equal a rebuild from event 1", replayed.code == 0)

    def _secrets(self) -> dict[str, str]:
        return {
            "the passport's number": NUMBER,
            "the item's label": LABEL,
            "Alice's name for Bob": NAME,
            "Alice's passphrase": PASSPHRASES["alice"],
            "Bob's passphrase": PASSPHRASES["bob"],
            "the phone number": PHONE,
            "the terms": TERMS,
            "the film": FILMED,
            "the plans": LATER,
        }

    def _files_with(self, text: str) -> Iterator[Path]:
        forms = set(_forms(text.encode()))
        for path in self._home.data.rglob("*"):
            if path.is_file() and any(form in path.read_bytes() for form in forms):
                yield path

    def _sees(self, event: str, sealed: str) -> None:
        """Show the newest event of that name as the backend stores it, and one sealed object behind it."""
        fields, blob = _stored(self._home.data / "store.db", event, sealed)
        self._stage.fact(None, f"the backend sees [dim]{event}[/] {{{', '.join(fields)}}}")
        self._stage.fact(None, f"and behind it {len(blob)} bytes: [dim]{blob[:44].hex(' ', 4)}…[/]")


def _stored(store: Path, event: str, sealed: str) -> tuple[list[str], bytes]:
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        state = db.execute(
            "SELECT state FROM stored_events WHERE topic LIKE ? ORDER BY rowid DESC LIMIT 1", (f"{event}.v%",)
        ).fetchone()[0]
        fields: dict[str, Any] = json.loads(state)["event"]
        blob: bytes = db.execute("SELECT data FROM sealed WHERE digest = ?", (fields[sealed],)).fetchone()[0]
    return [f"{name}: {str(value)[:10]}…" for name, value in list(fields.items())[:5]], blob


def _forms(secret: bytes) -> Iterator[bytes]:
    """A text as it may stand in a file: plain, hex, and base64 at each of its three alignments."""
    yield secret
    yield secret.hex().encode()
    for shift in range(3):
        encoded = base64.urlsafe_b64encode(bytes(shift) + secret)
        inner = encoded[4 if shift else 0 : -4]
        yield inner
        yield inner.replace(b"-", b"+").replace(b"_", b"/")
