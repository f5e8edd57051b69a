"""Suppliers in a running home: B17 to B19, B25 and B27 over the bus; suppliers that are killed, and one of S3."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.supplier.credential import folder_of
from privity.agent import identity, locations, sharing_keys, supplying
from privity.agent import suppliers as seeing
from privity.agent.session import Session
from privity.crypto.coding import fragment_leaf, slot_root
from privity.crypto.supplying import storage_proof
from privity.encoding import b64, new_id
from privity.errors import BadProof, NotFound, QuotaExceeded, UnknownKey
from privity.messages.suppliers import Register
from privity.supplying import Holder, Supplier
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Person, somebody
from tests.conftest import MakePerson
from tests.infra.buses import free_port
from tests.trials.load import alive, eventually

PATIENCE = 30.0
FRAGMENTS = [secrets.token_bytes(size) for size in (512 * 1024, 512 * 1024, 1000)]
LIMIT_KIB = 128 * 1024


@dataclass(frozen=True)
class Keyed:
    """A person's session, and a sharing key of theirs."""

    session: Session
    id: str
    holder: Holder

    async def supplier(self, name: str) -> Supplier:
        """A supplier of the home, by its name."""
        known = next(each for each in (await supplying.directory(self.session)).values() if each.name == name)
        return Supplier(known, supplying.asker(self.session))

    async def put(self, supplier: Supplier, fragments: list[bytes] = FRAGMENTS) -> str:
        """Store an object; its id."""
        lease = await supplier.open(self.holder, "put", self.id, object := new_id(), len(fragments))
        for segment, fragment in enumerate(fragments):
            await lease.put(segment, fragment)
        await lease.complete(slot_root([fragment_leaf(each) for each in fragments]))
        return object

    async def got(self, supplier: Supplier, object: str, count: int = len(FRAGMENTS)) -> list[bytes]:
        """Read an object."""
        lease = await supplier.open(self.holder, "get", self.id, object)
        return [await lease.get(segment) for segment in range(count)]


@asynccontextmanager
async def keyed(person: Person) -> AsyncIterator[Keyed]:
    """With a new sharing key, which no supplier knows yet unless the holder's register makes it known."""
    async with person.session() as (session, keyring):
        key = await sharing_keys.create(session, keyring)
        row, _ = await identity.own(session)
        register = Register(key.id, b64(key.record_bytes), b64(key.signature), row.chain)
        yield Keyed(
            session, key.id, Holder(session.account, key.private().sign, keyring.identity.sign, row.chain, register)
        )


@contextmanager
def run_supplier(name: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`privity supplier run` in a process of its own, ready."""
    process = subprocess.Popen(
        [*PRIVITY, "supplier", "run", "--name", name, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready {name}\n"
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()  # type: ignore[union-attr]


def without(holder: Holder) -> Holder:
    """Who does not make the key known by themselves."""
    return Holder(holder.account, holder.part, holder.identity, holder.chain)


async def test_b17_b18_b19_a_supplier_of_the_directory_serves_a_registered_key_and_who_holds_it(
    customer: MakePerson,
) -> None:
    ann, bob = await customer("ann"), await customer("bob")
    async with keyed(ann) as anns, keyed(bob) as bobs:
        found = {each.name for each in (await supplying.directory(bobs.session)).values()}
        assert {f"supplier-{number}" for number in range(1, 6)} <= found  # B19: known to anybody who is granted a key
        one = await anns.supplier("supplier-1")
        with pytest.raises(UnknownKey, match=anns.id):
            await one.open(without(anns.holder), "put", anns.id, new_id(), 1)
        object = await anns.put(one)
        assert await anns.got(one, object) == FRAGMENTS
        other = await bobs.supplier("supplier-1")
        with pytest.raises(BadProof):  # Bob has a key of his own, and tries it on Ann's object
            await other.open(without(bobs.holder), "get", anns.id, object)
        stolen = Holder(bob_account := bobs.session.account, anns.holder.part, bobs.holder.identity, bobs.holder.chain)
        with pytest.raises(BadProof):  # he even stole her key's private part: he is not named in its record
            await other.open(stolen, "get", anns.id, object)
        assert bob_account != anns.session.account
        lease = await one.open(anns.holder, "get", anns.id, object)
        nonce, proof = await lease.prove(2)
        assert proof == storage_proof(nonce, FRAGMENTS[2])
        await (await one.open(anns.holder, "delete", anns.id, object)).delete()
        with pytest.raises(NotFound):
            await lease.get(0)
    listed = await asyncio.to_thread(ann.json, "supplier", "list")
    row = next(each for each in listed if each["name"] == "supplier-1")
    assert (row["status"], row["quota"] > row["used"]) == ("here", True)
    assert "supplier-5" in (await asyncio.to_thread(ann.run, "supplier", "list")).out


@pytest.mark.trial
@pytest.mark.soak
async def test_a_supplier_of_ones_own_runs_with_a_credential_alone_and_keeps_to_its_quota(
    suppliers: RunningHome, customer: MakePerson, tmp_path: Path
) -> None:
    name = f"own-{new_id()[:6]}"
    file = tmp_path / "elsewhere" / "credential"
    file.parent.mkdir()
    made = await privity("supplier", "credential", "--name", name, "--data", str(suppliers.data))
    file.write_text(made.stdout)
    ann = await customer("ann")
    store = tmp_path / "disk"
    with run_supplier(name, "--store", str(store), "--credential", str(file), "--quota", "1600000") as process:
        async with keyed(ann) as anns:
            own = await anns.supplier(name)
            object = await anns.put(own)
            with pytest.raises(QuotaExceeded, match="of one person's 1200000 bytes are used"):
                await anns.put(own)
            said = await own.status()
            assert (said.called, said.quota) == (name, 1_600_000)
        assert int((file.parent / "pid").read_text()) == process.pid
        assert "QuotaExceeded" in (file.parent / "refused.log").read_text()
        twice = await privity("supplier", "run", "--name", "x", "--store", "memory://", "--credential", str(file))
        assert (twice.returncode, "Malformed" in twice.stderr) == (1, True)
    assert process.returncode == 0
    with run_supplier(name, "--store", f"file://{store}", "--credential", str(file)):
        async with keyed(ann) as again:  # another key: it knows both, from its store alone
            own = await again.supplier(name)
            await again.put(own)
        assert (store / anns.id / object / "whole").exists()


@pytest.mark.trial
@pytest.mark.soak
async def test_killed_suppliers_are_started_again_and_have_what_they_had(tmp_path: Path) -> None:
    with RunningHome(tmp_path / "home", suppliers=2) as home:
        ann = somebody("ann", tmp_path, home.url)
        await ann.register()
        async with keyed(ann) as anns:
            one = await anns.supplier("supplier-1")
            object = await anns.put(one)
            pid = home.data / "suppliers" / "supplier-1" / "pid"
            before = int(pid.read_text())
            os.kill(before, signal.SIGKILL)
            await eventually(lambda: int(pid.read_text() or 0) != before)
            await until_here(anns, "supplier-1")
            assert await anns.got(one, object) == FRAGMENTS
        home.stop()
        home.start()
        async with keyed(ann) as later:
            assert {each.name for each in await seeing.seen(later.session)} == {"supplier-1", "supplier-2"}
            assert (await (await later.supplier("supplier-1")).status()).fragments == len(FRAGMENTS)


async def until_here(anns: Keyed, name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while next(each for each in await seeing.seen(anns.session) if each.name == name).status != "here":  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def peak_of(pid: int) -> int:
    """The most memory that a process ever had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


async def privity(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return await asyncio.to_thread(
        subprocess.run, [*PRIVITY, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.trial
async def test_f17_one_process_is_a_supplier_and_none_outlives_its_home(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    name, store = "only", str(tmp_path / "fragments")
    arguments = ("--store", store, "--data", str(own_backend.data))
    with run_supplier(name, *arguments):
        second = await privity("supplier", "run", "--name", name, *arguments)
        assert (second.returncode, "AlreadyRunning" in second.stderr) == (1, True), second.stderr
    with RunningHome(tmp_path / "home", suppliers=1) as home:
        pid = int((home.data / "suppliers" / "supplier-1" / "pid").read_text())
        assert alive(pid)
        home.kill()
        await eventually(lambda: not alive(pid))
        home.start()  # and the next one is not kept waiting
        assert alive(int((home.data / "suppliers" / "supplier-1" / "pid").read_text()))


@pytest.mark.trial
async def test_a_supplier_stays_small_under_many_writers(suppliers: RunningHome, customer: MakePerson) -> None:
    ann = await customer("ann")
    async with keyed(ann) as anns:
        two = await anns.supplier("supplier-2")
        for _ in range(3):
            lease = await two.open(anns.holder, "put", anns.id, new_id(), 64)
            await asyncio.gather(*(lease.put(segment, FRAGMENTS[0]) for segment in range(64)))
    pid = int((suppliers.data / "suppliers" / "supplier-2" / "pid").read_text())
    assert peak_of(pid) < LIMIT_KIB


@pytest.fixture
def s3() -> Iterator[str]:
    """A server of S3 on this machine; its URL."""
    port = free_port()
    code = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.trial
@pytest.mark.soak
async def test_a_supplier_keeps_fragments_in_s3(suppliers: RunningHome, customer: MakePerson, s3: str) -> None:
    environment = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    await until_bucket(s3)
    name = f"cloud-{new_id()[:6]}"
    arguments = ("--store", "s3://fragments/ours", "--data", str(suppliers.data))
    ann = await customer("ann")
    with run_supplier(name, *arguments, **environment):
        async with keyed(ann) as anns:
            cloud = await anns.supplier(name)
            object = await anns.put(cloud)
            assert await anns.got(cloud, object) == FRAGMENTS
    with run_supplier(name, *arguments, **environment):
        async with keyed(ann) as again:
            cloud = await again.supplier(name)
            assert (await cloud.status()).fragments == len(FRAGMENTS)
            assert (await cloud.status()).used is not None
    assert (folder_of(suppliers.data, name) / "credential.json").exists()


@pytest.mark.trial
async def test_a_location_is_made_on_suppliers_that_answer(suppliers: RunningHome, customer: MakePerson) -> None:
    gone = f"a-{new_id()[:6]}"
    with run_supplier(gone, "--store", "memory://", "--data", str(suppliers.data)):
        pass
    ann = await customer("ann")
    async with ann.session() as (session, keyring):
        named = {each.name: each for each in await seeing.seen(session)}
        made = await locations.create(session, keyring, "photos")
    assert named[gone].status == "away"
    assert gone == min(named)
    assert named[gone].supplier not in made.row.suppliers


async def until_bucket(url: str) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    until_then = time.monotonic() + PATIENCE
    while True:
        try:
            await asyncio.to_thread(client.create_bucket, Bucket="fragments")
            return
        except Exception:
            if time.monotonic() > until_then:
                raise
            await asyncio.sleep(0.2)
