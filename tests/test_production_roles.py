"""The roles of a production backend, each a process, on PostgreSQL and the NATS configuration of the deployment."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from privity.agent import connections, items, shares
from privity.testing.people import Person, connect, somebody

ROOT = Path(__file__).parent.parent
BACKEND, PERSON = "backend-password-1234", "person-password-12345"


@pytest.fixture
def production(tmp_path: Path, postgres_url: str) -> Iterator[dict[str, str]]:
    """NATS with the configuration of the deployment, and both roles on PostgreSQL; the settings they got."""
    with ExitStack() as stack:
        port = stack.enter_context(nats_server(tmp_path))
        settings = {
            "PRIVITY_DATA": str(tmp_path / "home"),
            "PRIVITY_NATS_URL": f"nats://backend:{BACKEND}@127.0.0.1:{port}",
            "PRIVITY_STORE_URL": postgres_url,
            "PRIVITY_VIEWS_URL": postgres_url.replace("postgresql://", "postgresql+psycopg://"),
            "PRIVITY_PUBLIC": f"127.0.0.1:{port}",
            "PRIVITY_PERSON_PASSWORD": PERSON,
        }
        for role in ("commands", "projections"):
            stack.enter_context(running([sys.executable, "-m", "privity.cli.main", "serve", role], settings))
        yield settings


@contextmanager
def running(command: list[str], settings: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        code = process.wait(30)
        process.stdout.close() if process.stdout else None
    assert code == 0


@contextmanager
def nats_server(folder: Path) -> Iterator[int]:
    binary = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    assert binary is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (ROOT / "deploy" / "nats.conf").read_text()
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace('http: "127.0.0.1:8222"', 'http: "127.0.0.1:0"')
    text = text.replace('store_dir: "/data"', f'store_dir: "{folder / "js"}"')
    config = folder / "nats.conf"
    config.write_text(text)
    process = subprocess.Popen(
        [binary, "--config", str(config)],
        env={**os.environ, "BACKEND_PASSWORD": f'"{BACKEND}"', "PERSON_PASSWORD": f'"{PERSON}"'},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


async def test_the_main_flow_works_on_postgresql_with_the_roles_apart(
    production: dict[str, str], tmp_path: Path
) -> None:
    server = (Path(production["PRIVITY_DATA"]) / "home.url").read_text().strip()
    ann, bob = (somebody(name, tmp_path, server) for name in ("ann", "bob"))
    await ann.register()
    await bob.register()
    await connect(ann, bob)
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X1"})
        await shares.create(session, keyring, item.item, bob.address)
    async with bob.session() as (session, keyring):
        [share] = await shares.all_of(session, keyring, "incoming")
        assert share.content.slots == {"number": "X1"}
        await connections.remove(session, keyring, ann.address)
        assert await shares.all_of(session, keyring) == []

    operator = Person("", tmp_path, server)
    assert operator.run("--json", "status", **production).json["healthy"] is True
    assert operator.run("--json", "replay", "--verify", **production).json["ok"] is True


def test_the_compose_file_runs_the_roles_that_there_are() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"nats", "postgres", "commands", "projections"} == set(services)
    assert services["commands"]["command"] == ["serve", "commands"]
    assert services["projections"]["command"] == ["serve", "projections"]
