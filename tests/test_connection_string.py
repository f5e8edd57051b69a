"""The connection string: one line that comes back as it was written, and shows its credential nowhere else."""

import traceback
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privity.connection_string import ConnectionString, parse_connection_string
from privity.crypto.credentials import home_id
from privity.encoding import b64
from privity.errors import Malformed

LOG = bytes(range(32))
HOME = ConnectionString("localhost", 4222, "person", "CANARY", LOG)
HOSTS = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,5}){0,2}", fullmatch=True
) | st.ip_addresses().map(str)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(HOSTS, st.integers(1, 65535), NAMES, NAMES, st.binary(min_size=32, max_size=32), st.booleans())
def test_it_comes_back_as_it_was_written(
    host: str, port: int, user: str, credential: str, log: bytes, tls: bool
) -> None:
    written = ConnectionString(host, port, user, credential, log, tls)
    assert "\n" not in written.text()
    assert parse_connection_string(f"  {written.text()}\n") == written


def test_it_reads_as_documented() -> None:
    assert HOME.text() == f"privity://person:CANARY@localhost:4222?log={b64(LOG)}"
    assert HOME.bus_url == "nats://localhost:4222"
    assert HOME.home == home_id(LOG)


def test_n9_with_tls_it_says_so() -> None:
    home = replace(HOME, tls=True)
    assert home.text() == f"{HOME.text()}&tls=on"
    assert home.bus_url == "tls://localhost:4222"


@pytest.mark.parametrize("tls", ["On", "yes", "1", "", "on&tls=off"])
def test_n9_a_typo_does_not_switch_tls_off(tls: str) -> None:
    with pytest.raises(Malformed):
        parse_connection_string(f"{HOME.text()}&tls={tls}")


def test_an_ipv6_address_stands_in_brackets() -> None:
    home = ConnectionString("::1", 4222, "person", "CANARY", LOG)
    assert "@[::1]:4222?" in home.text()
    assert home.bus_url == "nats://[::1]:4222"


def test_the_credential_shows_nowhere_but_in_the_line() -> None:
    assert "CANARY" not in repr(HOME)
    assert "CANARY" not in HOME.bus_url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CANARY",
        HOME.text().replace("privity://", "nats://"),
        HOME.text().replace(":4222", ""),
        HOME.text().replace(":4222", ":CANARY"),
        HOME.text().replace(":4222", ":0"),
        HOME.text().replace(":4222", ":65536"),
        HOME.text().replace("localhost", ""),
        HOME.text().replace("localhost", "[CANARY"),
        HOME.text().replace("person", ""),
        HOME.text().replace(":CANARY", ""),
        HOME.text().replace("CANARY", "CANARY\u2100"),
        HOME.text().replace("?log=", "?key="),
        HOME.text().replace("?log=", "?log=CANARY"),
        HOME.text().partition("?")[0],
        HOME.text()[:-2],
        HOME.text() + "==",
    ],
)
def test_another_text_is_malformed_and_not_repeated(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_connection_string(text)
    told = "".join(traceback.format_exception(caught.value, limit=0))
    assert "CANARY" not in told


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"privity://{text}"))
def test_foreign_text_gives_our_errors_only(text: str) -> None:
    with pytest.raises(Malformed):
        parse_connection_string(text)
