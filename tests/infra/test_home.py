"""The home's keys: made once, completed where an older home lacks some, and the same for both roles."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.home import KEYS, HomeKeys, open_keys, write_home_url
from privity.connection_string import parse_connection_string
from privity.errors import NotFound


def texts(keys: HomeKeys) -> tuple[object, ...]:
    """All secrets of a home."""
    return keys.log.seed, keys.mail, keys.nonce, tuple(keys.bus.texts.items())


def test_they_are_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = open_keys(tmp_path)
    assert texts(open_keys(tmp_path)) == texts(first)
    assert stat.S_IMODE((tmp_path / KEYS).stat().st_mode) == 0o600


def test_none_are_made_where_none_are_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_keys(tmp_path, create=False)


def test_roles_that_start_together_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as roles:
        found = list(roles.map(open_keys, [tmp_path] * 8))
    assert len({texts(keys) for keys in found}) == 1


@pytest.mark.parametrize("missing", ["bus", "log"])
def test_an_older_home_keeps_what_it_has_and_gets_what_it_lacks(tmp_path: Path, missing: str) -> None:
    before = texts(open_keys(tmp_path))
    path = tmp_path / KEYS
    kept = json.loads(path.read_text())
    del kept[missing]
    path.write_text(json.dumps(kept | {"backend_password": "old", "person_password": "old"}))
    with ThreadPoolExecutor(8) as roles:
        found = list(roles.map(open_keys, [tmp_path] * 8))
    assert len({texts(keys) for keys in found}) == 1
    assert sum(a != b for a, b in zip(before, texts(found[0]), strict=True)) == 1
    assert "password" not in path.read_text()


def test_a_new_door_comes_without_the_old_one(tmp_path: Path) -> None:
    before = open_keys(tmp_path).bus
    path = tmp_path / KEYS
    kept = json.loads(path.read_text())
    del kept["bus"]["enrol"], kept["bus"]["door"]
    path.write_text(json.dumps(kept))
    after = open_keys(tmp_path).bus
    changed = {name for name, text in after.texts.items() if text != before.texts[name]}
    assert changed == {"enrol", "door"}


def test_the_connection_string_shows_the_door_and_no_key(tmp_path: Path) -> None:
    keys = open_keys(tmp_path)
    write_home_url(tmp_path, keys, "bus.example.org", 4222, tls=True)
    text = (tmp_path / "home.url").read_text()
    string = parse_connection_string(text)
    assert (string.credential, string.tls, string.bus_url) == (keys.bus.door, True, "tls://bus.example.org:4222")
    assert not any(secret in text for name, secret in keys.bus.texts.items() if name != "door")
