"""Every use has a label of its own."""

from pathlib import Path

from privity.crypto import labels

ALL = {name: value for name, value in vars(labels).items() if name.isupper()}


def test_no_two_uses_have_the_same_label():
    assert len(set(ALL.values())) == len(ALL)


def test_every_label_names_the_protocol_and_its_version():
    assert all(value.startswith(b"privity/v1/") for value in ALL.values())


def test_nothing_else_spells_a_label():
    for path in Path(labels.__file__).parent.glob("*.py"):
        if path.name != "labels.py":
            assert "privity/v1" not in path.read_text(), path.name
