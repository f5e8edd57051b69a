"""U8: what answers a question must not be made to open, to sign or to tell apart what the asker could not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.agent import accounts, invitations
from privity.agent.bus import Bus
from privity.agent.enrolment import by_login
from privity.agent.profile import ProfileFolder
from privity.agent.session import query_payload, read_answer
from privity.connection_string import parse_connection_string
from privity.crypto import labels
from privity.crypto.command import frame, sign_login, unframe, verify_command, verify_login, verify_query
from privity.crypto.credentials import decode_recovery, decode_secret
from privity.crypto.invitation import hash_token, invite_keys, parse_link
from privity.crypto.kdf import KdfParams, Recovery, Unlock, derive_recovery, derive_unlock
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, b64, lp, new_id, sha256, unb64
from privity.errors import BadLogin, BadSignature, ForgedRecord, PrivityError, Refusal
from privity.messages import envelope
from privity.messages.envelope import Answer
from privity.messages.views import AskKeyring, AskOffer
from privity.testing.home import RunningHome
from privity.testing.people import Person, somebody
from tests.conftest import MakePerson
from tests.trials.load import signer_of
from tests.trials.proxy import Proxy
from tests.trials.test_hostile_input import line_of

pytestmark = pytest.mark.trial

LOGIN = SigningKey.from_seed(b"l" * 32)


async def proven(
    person: Person, key: SigningKey, purpose: str, signed: str = "", home: str = ""
) -> tuple[Answer, dict[str, bytes]]:
    """The keyring's answer to a login proof over the home's nonce, asked for one purpose and signed for another.

    Whoever asks is on the bus as a device of the account: only the proof is in question.
    """
    signer, server = signer_of(person)
    async with await line_of(signer, server) as bus:
        return await answer_to(bus, signer.account, key, purpose, signed or purpose, home or server.home)


async def answer_to(
    bus: Bus, account: str, key: SigningKey, purpose: str, signed: str, home: str
) -> tuple[Answer, dict[str, bytes]]:
    """The answer to a proof for `signed` at `home`, on a line that is open."""
    subject, nonce = envelope.query_subject(account, "keyring"), None
    for _ in range(2):
        proof = sign_login(key, home, signed, unb64(nonce or ""))
        ask = AskKeyring(purpose="login" if purpose == "login" else "recover", proof=b64(proof))
        answer, sealed = read_answer(
            await bus.ask(subject, frame(b"", query_payload(account, new_id(), ask, nonce, 0)))
        )
        nonce = answer.nonce
    return answer, sealed


async def keys_of(person: Person) -> tuple[str, Unlock, Recovery]:
    """A new account's id, and all that proves it."""
    new = await person.register()
    account, _, secret = decode_secret(new.secret)
    unlocked = derive_unlock(person.passphrase, secret, account, KdfParams())
    return account, unlocked, derive_recovery(decode_recovery(new.recovery)[2], account)


async def test_u8_a_login_proof_is_for_one_purpose_one_home_and_one_key(backend: RunningHome, tmp_path: Path) -> None:
    ann = somebody("ann", tmp_path, backend.url)
    _, unlocked, recovery = await keys_of(ann)
    wrong = [
        await proven(ann, unlocked.login, "recover", signed="login"),
        await proven(ann, unlocked.login, "recover"),
        await proven(ann, recovery.login, "login"),
        await proven(ann, recovery.sign, "recover"),
        await proven(ann, unlocked.login, "login", signed="recover"),
        await proven(ann, unlocked.login, "login", home="a" * 26),
        await proven(ann, SigningKey.generate(), "login"),
    ]
    assert {(answer.code, answer.message, tuple(sealed)) for answer, sealed in wrong} == {
        ("BadLogin", BadLogin.__doc__, ())
    }
    for key, purpose in ((unlocked.login, "login"), (recovery.login, "recover")):
        answer, sealed = await proven(ann, key, purpose)
        assert (answer.status, len(sealed)) == ("ok", 3)


async def test_u8_the_keyring_says_the_same_of_a_wrong_proof_and_of_no_account(
    backend: RunningHome, tmp_path: Path
) -> None:
    server = parse_connection_string(backend.url)
    ann = somebody("ann", tmp_path, backend.url)
    account, unlocked, _ = await keys_of(ann)
    nobody = b32(sha256(new_id().encode()))
    stranger = SigningKey.generate()
    told = []
    for each in (account, nobody):
        for purpose in ("login", "recover"):
            with pytest.raises(BadLogin) as refused:
                await by_login(server, each, stranger, purpose)
            told.append(refused.value.message)
    assert told == [BadLogin.__doc__] * 4
    assert await by_login(server, account, unlocked.login, "login")
    assert (await proven(ann, unlocked.login, "login"))[0].status == "ok"


async def test_u8_a_proof_that_was_used_or_is_anothers_releases_nothing(
    backend: RunningHome, proxy: Proxy, tmp_path: Path, person: MakePerson
) -> None:
    """Whoever recorded it on the wire sends it again: as it was, and as another account."""
    ann = somebody("ann", tmp_path, proxy.url)
    new = await ann.register()
    server = parse_connection_string(proxy.url)
    await accounts.login(ProfileFolder(tmp_path / "second"), server, ann.address, new.secret, ann.passphrase)
    *_, recorded = [each for each in proxy.sent if each.subject.endswith(".keyring")]
    assert [len(unframe(answer, 9, 2**20)) for view, answer in proxy.answered if view == "keyring"][-1] == 4

    eve = await person("eve")
    foreign = signer_of(eve)[0].account
    async with await line_of(*signer_of(ann)) as bus:
        answer, sealed = read_answer(await bus.ask(recorded.subject, recorded.data))
        assert (answer.code, sealed) == ("StaleNonce", {})
    async with await line_of(*signer_of(eve)) as bus:
        bent = recorded.data.replace(new.account.encode(), foreign.encode())
        answer, sealed = read_answer(await bus.ask(envelope.query_subject(foreign, "keyring"), bent))
        assert (answer.code, sealed) == ("StaleNonce", {})


@given(st.binary(max_size=200), st.text(max_size=20), st.sampled_from(["login", "recover"]))
def test_u8_whatever_nonce_a_home_gives_the_login_key_signs_nothing_else(nonce: bytes, home: str, purpose: str) -> None:
    """The home chooses the nonce: a command, a record, or a labelled text of another use."""
    home = home.encode(errors="replace").decode()
    proof = sign_login(LOGIN, home, purpose, nonce)
    verify_login(LOGIN.public, proof, home, purpose, nonce)
    with pytest.raises(BadSignature):
        verify_command(LOGIN.public, proof, home, purpose, nonce)
    with pytest.raises(BadSignature):
        verify_query(LOGIN.public, proof, home, purpose, nonce)
    for label in vars(labels).values():
        if isinstance(label, bytes) and label != labels.LOGIN:
            for parts in ((nonce,), (nonce, home.encode(), purpose.encode()), (home.encode(), purpose.encode(), nonce)):
                with pytest.raises(ForgedRecord):
                    verify(LOGIN.public, proof, label, *parts)


async def test_u8_an_agent_that_is_given_a_chosen_nonce_proves_itself_to_this_home_alone(
    proxy: Proxy, tmp_path: Path
) -> None:
    """The hostile home hands the agent a command to sign, as a nonce; what comes back fits no command."""
    ann = somebody("ann", tmp_path, proxy.url)
    new = await ann.register()
    server = parse_connection_string(proxy.url)
    chosen = lp(labels.COMMAND, server.home.encode(), b"privity.cmd.x.items.remove", b"{}")

    def choose(view: str, answer: bytes) -> bytes:
        head, *blobs = unframe(answer, 9, 2**20)
        return frame(json.dumps(json.loads(head) | {"nonce": b64(chosen)}).encode(), *blobs)

    with proxy.bending_answers(choose), pytest.raises(Refusal):
        await accounts.login(ProfileFolder(tmp_path / "x"), server, ann.address, new.secret, ann.passphrase)
    *_, asked = [each for each in proxy.sent if each.subject.endswith(".keyring")]
    proof = unb64(json.loads(unframe(asked.data, 2, 10**5)[1])["params"]["proof"])
    account, _, secret = decode_secret(new.secret)
    key = derive_unlock(ann.passphrase, secret, account, KdfParams()).login
    verify_login(key.public, proof, server.home, "login", chosen)  # it did sign the chosen bytes
    for check in (
        lambda: verify_command(key.public, proof, server.home, "privity.cmd.x.items.remove", b"{}"),
        lambda: verify_login(key.public, proof, "a" * 26, "login", chosen),
        lambda: verify_login(key.public, proof, server.home, "recover", chosen),
    ):
        with pytest.raises(PrivityError):
            check()
    done = await accounts.login(ProfileFolder(tmp_path / "x"), server, ann.address, new.secret, ann.passphrase)
    assert done.account == new.account


async def test_u8_an_offer_tells_nothing_to_who_has_not_its_token(ann: Person, bob: Person) -> None:
    """Neither that there is such an invitation, nor how near a guess is; its hash is no token."""
    async with ann.session() as (session, keyring):
        made = await invitations.invite(session, keyring, bob.address)
        closed = await invitations.invite(session, keyring, "carol@localhost")
        await invitations.cancel(session, closed.invitation)
    token = invite_keys(parse_link(made.link).secret or b"", made.invitation).token
    guesses = [
        (made.invitation, bytes(32)),
        (made.invitation, hash_token(token)),
        (made.invitation, token[:-1] + bytes([token[-1] ^ 1])),
        (made.invitation, bytes([token[0] ^ 1]) + token[1:]),
        (closed.invitation, bytes(32)),
        (new_id(), bytes(32)),
        (new_id(), token),
    ]
    signer, server = signer_of(bob)
    told = set()
    async with await line_of(signer, server) as bus:
        for id, guess in guesses:
            answer, sealed = read_answer(await bus.ask(*signer.query(AskOffer(id=id, token=b64(guess)), None, 0)))
            told.add((answer.status, answer.code, answer.message, answer.rows, tuple(sealed)))
        assert len(told) == 1
        assert {each[1] for each in told} == {"BadToken"}
        right = AskOffer(id=made.invitation, token=b64(token))
        assert read_answer(await bus.ask(*signer.query(right, None, 0)))[0].status == "ok"
