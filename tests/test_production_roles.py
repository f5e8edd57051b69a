"""The roles of a production backend, each a process, on PostgreSQL and the NATS configuration of the deployment."""

import os
import shutil
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
from tests.infra.buses import Authority, free_port

ROOT = Path(__file__).parent.parent
PRIVITY = (sys.executable, "-m", "privity.cli.main")


@pytest.fixture
def production(tmp_path: Path, postgres_url: str) -> Iterator[dict[str, str]]:
    """NATS with the configuration that is made for it, and both roles on PostgreSQL; the settings they got."""
    with roles(tmp_path, postgres_url) as settings:
        yield settings


@pytest.fixture
def production_with_tls(tmp_path: Path, postgres_url: str) -> Iterator[dict[str, str]]:
    """The same with TLS on the bus."""
    with roles(tmp_path, postgres_url, Authority(tmp_path)) as settings:
        yield settings


@contextmanager
def roles(folder: Path, postgres_url: str, authority: Authority | None = None) -> Iterator[dict[str, str]]:
    """A bus with or without TLS, and both roles on it."""
    with ExitStack() as stack:
        port = stack.enter_context(nats_server(folder, authority))
        tls = {"PRIVITY_TLS_CA": str(authority.ca), "PRIVITY_CA": str(authority.ca)} if authority else {}
        settings = {
            **tls,
            "PRIVITY_DATA": str(folder / "home"),
            "PRIVITY_NATS_URL": f"{'tls' if authority else 'nats'}://127.0.0.1:{port}",
            "PRIVITY_STORE_URL": postgres_url,
            "PRIVITY_VIEWS_URL": postgres_url.replace("postgresql://", "postgresql+psycopg://"),
            "PRIVITY_PUBLIC": f"127.0.0.1:{port}",
        }
        for role in ("commands", "projections"):
            stack.enter_context(running([*PRIVITY, "serve", role], settings))
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
def nats_server(folder: Path, authority: Authority | None) -> Iterator[int]:
    binary = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    assert binary is not None
    port, config = free_port(), folder / "nats.conf"
    where = ["--data", folder / "home", "--listen", f"127.0.0.1:{port}", "--store-dir", folder / "bus"]
    tls = ["--tls-cert", authority.cert, "--tls-key", authority.key] if authority else []
    made = subprocess.run(
        [*PRIVITY, "nats-config", *where, "--monitor", f"127.0.0.1:{free_port()}", *tls],
        stdout=subprocess.PIPE,
        check=True,
    )
    config.write_bytes(made.stdout)
    process = subprocess.Popen([binary, "--config", str(config)], stderr=subprocess.DEVNULL)
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


@pytest.mark.trial
async def test_n9_with_tls_the_roles_and_people_reach_each_other_and_plaintext_reaches_nobody(
    production_with_tls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = (Path(production_with_tls["PRIVITY_DATA"]) / "home.url").read_text().strip()
    assert server.endswith("&tls=on")
    monkeypatch.setenv("PRIVITY_CA", production_with_tls["PRIVITY_CA"])
    ann = somebody("ann", tmp_path, server)
    await ann.register()
    operator = Person("", tmp_path, server)
    assert operator.run("--json", "status", **production_with_tls).json["healthy"] is True

    plain = production_with_tls | {"PRIVITY_NATS_URL": production_with_tls["PRIVITY_NATS_URL"].replace("tls:", "nats:")}
    for settings in (plain, production_with_tls | {"PRIVITY_TLS_CA": ""}):
        refused = operator.run("--json", "status", **settings)
        assert (refused.code, "Unreachable" in refused.err) == (4, True), refused


def test_the_compose_file_runs_the_roles_that_there_are() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"config", "nats", "postgres", "commands", "projections", "supplier"} == set(services)
    assert services["config"]["command"][0].startswith("privity nats-config --data /var/lib/privity")
    assert services["nats"]["depends_on"] == {"config": {"condition": "service_completed_successfully"}}
    assert services["commands"]["command"] == ["serve", "commands"]
    assert services["projections"]["command"] == ["serve", "projections"]
    assert services["supplier"]["command"][:3] == ["supplier", "run", "--name=supplier-1"]
    assert "home:/var/lib/privity" not in services["supplier"]["volumes"]
    assert "privity supplier credential --name supplier-1 --data" in services["config"]["command"][0]
