"""Checkpoints are signed notes that only this home's log can have made, for anybody's tools to read."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from privity.crypto.log import (
    COSIGNATURE,
    ED25519,
    bare,
    cosign,
    cosigned,
    entry,
    key_id,
    make_checkpoint,
    origin_of,
    read_checkpoint,
)
from privity.crypto.merkle import EMPTY_ROOT
from privity.crypto.signing import SigningKey, verify_note
from privity.encoding import lp
from privity.errors import ForgedRecord

HOME = "h" * 26
KEY = SigningKey.from_seed(b"l" * 32)
WITNESS, WITNESS_KEY = "witness.example/one", SigningKey.from_seed(b"w" * 32)
ROOT = bytes(range(32))
AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
NOTE = make_checkpoint(KEY, HOME, 7, ROOT)


def test_a_checkpoint_says_what_the_log_said():
    checkpoint = read_checkpoint(NOTE, KEY.public, HOME)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (f"privity/{HOME}", 7, ROOT)
    assert checkpoint.note == NOTE


def test_a_checkpoint_has_the_form_of_c2sp():
    text, signatures = NOTE.split("\n\n")
    assert text == f"privity/{HOME}\n7\n{base64.b64encode(ROOT).decode()}"
    dash, name, signature = signatures.removesuffix("\n").split(" ")
    raw = base64.b64decode(signature)
    assert (dash, name) == ("—", f"privity/{HOME}")
    assert raw[:4] == key_id(name, ED25519, KEY.public)
    Ed25519PublicKey.from_public_bytes(KEY.public).verify(raw[4:], (text + "\n").encode())


def test_a_note_of_another_implementation_verifies():
    """The example of Go's golang.org/x/mod/sumdb/note."""
    name, public = "PeterNeumann", base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    raw = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    assert key_id(name, ED25519, public) == raw[:4] == bytes.fromhex("c74f20a3")
    verify_note(public, raw[4:], text)
    with pytest.raises(ForgedRecord):
        verify_note(public, raw[4:], text + b"\n")


def test_an_empty_log_has_a_checkpoint_with_the_empty_root():
    note = make_checkpoint(KEY, HOME, 0, EMPTY_ROOT)
    assert read_checkpoint(note, KEY.public, HOME).size == 0
    with pytest.raises(ForgedRecord):
        read_checkpoint(make_checkpoint(KEY, HOME, 0, ROOT), KEY.public, HOME)


@given(st.integers(1, 2**62), st.binary(min_size=32, max_size=32))
def test_what_was_made_is_read(size, root):
    checkpoint = read_checkpoint(make_checkpoint(KEY, HOME, size, root), KEY.public, HOME)
    assert (checkpoint.size, checkpoint.root) == (size, root)


def test_another_home_another_key_and_another_root_are_forged():
    for note, public, home in (
        (NOTE, KEY.public, "g" * 26),
        (NOTE, WITNESS_KEY.public, HOME),
        (make_checkpoint(WITNESS_KEY, HOME, 7, ROOT), KEY.public, HOME),
        (make_checkpoint(KEY, "g" * 26, 7, ROOT), KEY.public, HOME),
        (NOTE.replace("\n7\n", "\n8\n"), KEY.public, HOME),
        (NOTE.replace("AAECAwQF", "BAECAwQF"), KEY.public, HOME),
    ):
        with pytest.raises(ForgedRecord):
            read_checkpoint(note, public, home)


@given(st.data())
def test_no_character_of_a_checkpoint_can_be_changed(data):
    spot = data.draw(st.integers(0, len(NOTE) - 1))
    letter = data.draw(st.characters().filter(lambda each: each != NOTE[spot]))
    with pytest.raises(ForgedRecord):
        read_checkpoint(NOTE[:spot] + letter + NOTE[spot + 1 :], KEY.public, HOME)


def test_one_note_has_one_text():
    """The last letter of a signature has bits to spare."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = NOTE[-3]
    other = letters[letters.index(last) ^ 1]
    bent = f"{NOTE[:-3]}{other}{NOTE[-2:]}"
    assert base64.b64decode(bent.split(" ")[-1]) == base64.b64decode(NOTE.split(" ")[-1])
    with pytest.raises(ForgedRecord):
        read_checkpoint(bent, KEY.public, HOME)


@pytest.mark.parametrize(
    "bent",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "x",
        NOTE.replace("\n\n", "\nan extension\n\n"),
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n" + "9" * 19 + "\n"),
        NOTE.replace("\n7\n", "\n" + "9" * 3000 + "\n"),
        NOTE.replace("\n7\n", "\n\N{ARABIC-INDIC DIGIT SEVEN}\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—  "),
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("=\n", "\n"),
        NOTE.partition("\n\n")[0] + "\n",
        NOTE.partition("\n\n")[0] + "\n\n",
        NOTE + NOTE,
        NOTE + "— w AAAA\n" * 600,
        "\ud800" + NOTE[1:],
    ],
)
def test_what_is_no_checkpoint_is_forged_and_nothing_else(bent):
    for read in (
        lambda: read_checkpoint(bent, KEY.public, HOME),
        lambda: bare(bent),
        lambda: cosigned(bent, "w", ROOT),
    ):
        if bent == NOTE:
            continue
        with pytest.raises(ForgedRecord):
            read()


@given(st.text(max_size=300))
def test_any_text_is_forged_and_nothing_else(text):
    with pytest.raises(ForgedRecord):
        read_checkpoint(text, KEY.public, HOME)


def test_a_witness_co_signs_in_the_form_of_c2sp():
    note = cosign(NOTE, WITNESS, WITNESS_KEY, AT)
    assert note.startswith(NOTE)
    assert cosigned(note, WITNESS, WITNESS_KEY.public) == AT
    assert read_checkpoint(note, KEY.public, HOME).size == 7
    raw = base64.b64decode(note.removeprefix(NOTE).split(" ")[2])
    assert raw[:4] == key_id(WITNESS, COSIGNATURE, WITNESS_KEY.public)
    seconds = int.from_bytes(raw[4:12], "big")
    assert seconds == AT.timestamp()
    message = f"cosignature/v1\ntime {seconds}\n{NOTE.partition(chr(10) * 2)[0]}\n"
    Ed25519PublicKey.from_public_bytes(WITNESS_KEY.public).verify(raw[12:], message.encode())


def test_a_co_signature_is_for_one_checkpoint_one_name_and_one_key():
    note = cosign(NOTE, WITNESS, WITNESS_KEY, AT)
    line = note.removeprefix(NOTE)
    other = make_checkpoint(KEY, HOME, 8, ROOT)
    for bent, name, public in (
        (NOTE, WITNESS, WITNESS_KEY.public),
        (note, "witness.example/two", WITNESS_KEY.public),
        (note, WITNESS, KEY.public),
        (other + line, WITNESS, WITNESS_KEY.public),
        (note.replace("\n7\n", "\n8\n"), WITNESS, WITNESS_KEY.public),
    ):
        with pytest.raises(ForgedRecord):
            cosigned(bent, name, public)


def test_the_last_of_a_witness_s_co_signatures_counts():
    note = cosign(cosign(NOTE, WITNESS, WITNESS_KEY, AT), WITNESS, WITNESS_KEY, AT + timedelta(hours=1))
    assert cosigned(note, WITNESS, WITNESS_KEY.public) == AT + timedelta(hours=1)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb", "x" * 129, "\ud800", origin_of(HOME)])
def test_a_witness_has_a_name_of_its_own_without_spaces(name):
    with pytest.raises(ForgedRecord):
        cosign(NOTE, name, WITNESS_KEY, AT)


def test_a_note_bears_only_so_many_witnesses():
    note = NOTE
    for number in range(20):
        note = cosign(note, f"witness.example/{number}", WITNESS_KEY, AT)
    assert cosigned(note, "witness.example/0", WITNESS_KEY.public) == AT
    with pytest.raises(ForgedRecord, match="too long"):
        cosign(note + note.removeprefix(NOTE), "w", WITNESS_KEY, AT)


def test_bare_is_the_note_as_the_log_signed_it():
    assert bare(NOTE) == NOTE
    assert bare(cosign(NOTE, WITNESS, WITNESS_KEY, AT)) == NOTE
    assert len(make_checkpoint(KEY, HOME, 2**62, ROOT)) <= 512
    with pytest.raises(ForgedRecord, match="too long"):
        bare(make_checkpoint(KEY, HOME, 7, ROOT).replace("/", "/" + "h" * 300, 1))


def test_no_signature_of_a_note_is_one_over_labelled_parts():
    with pytest.raises(ValueError, match="text of lines"):
        KEY.sign_note(lp(b"privity/v1/command", b"x\n"))
    with pytest.raises(ValueError, match="text of lines"):
        KEY.sign_note(b"no line")
    assert KEY.sign_note(b"a line\n")


def test_an_entry_binds_place_name_and_bytes():
    assert entry(3, "account-a", 2, "identity-extended.v1", b"{}") == lp(
        b"privity/v1/log/entry", b"3", b"account-a", b"2", b"identity-extended.v1", b"{}"
    )
    parts = (3, "ab", 2, "c.v1", b"{}")
    others = ((4, *parts[1:]), (3, "a", *parts[2:]), (3, "ab", 22, "c.v1", b"{}"), (3, "ab", 2, "c.v2", b"{}"))
    assert len({entry(*each) for each in (parts, *others, (*parts[:4], b"{ }"))}) == 6
