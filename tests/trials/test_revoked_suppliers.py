"""A supplier's credential that was taken back: cut off at once and for good, and nobody else with it (N8)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
import pytest

import app
from infra.credentials import supplier_jwt
from infra.given import REVOKE_SUBJECT, write_given
from infra.home import open_keys
from infra.supplier.credential import FILE, SupplierCredential, folder_of, issue, read_credential
from privity.credential import Credential
from privity.testing.home import RunningHome
from privity.testing.people import somebody
from tests.conftest import MakePerson
from tests.infra import buses
from tests.rows.test_suppliers import FRAGMENTS, keyed, privity, run_supplier, until_here
from tests.trials.load import alive, eventually
from tests.trials.test_people_on_the_bus import on_the_bus

PATIENCE = 10.0


@asynccontextmanager
async def shown_to(home: RunningHome, own: SupplierCredential) -> AsyncIterator[buses.Person]:
    """A bare connection with a supplier's credential."""
    line = await buses.Person.of(app.running(home.data).bus_url, own.bus, "_INBOX_x")
    try:
        yield line
    finally:
        await line.bus.close()


def given_in(home: RunningHome, name: str, renewed: Path | None = None) -> SupplierCredential:
    """What `supplier credential` prints."""
    return read_credential(app.supplier_credential(name, home.data, app.running(home.data).bus_url, renewed))


async def refused(home: RunningHome, own: SupplierCredential) -> None:
    """The credential opens nothing."""
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        async with shown_to(home, own):
            pass


async def test_n8_a_supplier_whose_credential_is_taken_back_is_cut_off_and_no_other(
    suppliers: RunningHome, customer: MakePerson, tmp_path: Path
) -> None:
    lost, kept = given_in(suppliers, "lost"), given_in(suppliers, "kept")
    file = tmp_path / "lost"
    file.write_text(lost.text())
    ann = await customer("ann")
    async with shown_to(suppliers, lost) as one, shown_to(suppliers, kept) as other, on_the_bus(ann) as person:
        forged = write_given([each for each in app.given_by(suppliers.data) if each.name == "kept"])
        await person.may_not_say(REVOKE_SUBJECT)  # nor does a supplier: it says its own commands alone
        await other.bus.publish(REVOKE_SUBJECT, forged)
        assert "permissions violation" in await other.complaint()
        arguments = ("supplier", "revoke", "lost", "--data", str(suppliers.data))
        said = await privity("--json", *arguments)
        assert (said.returncode, '"cut_off": true' in said.stdout) == (0, True), said
        await asyncio.wait_for(one.ended.wait(), PATIENCE)
        await other.bus.flush()
        await person.own_command_is_accepted()
    await refused(suppliers, lost)
    longer = supplier_jwt(open_keys(suppliers.data).bus, lost.id, lost.nkey.public, lost.bus.life[1])
    await refused(suppliers, SupplierCredential("lost", lost.bus_url, b"", lost.sign, Credential(longer, lost.nkey)))
    again = given_in(suppliers, "lost", file)
    async with shown_to(suppliers, again), shown_to(suppliers, kept):
        assert again.id == lost.id  # the same supplier, let in again
    listed = (await privity("--json", "supplier", "credentials", "--data", str(suppliers.data))).stdout
    assert (listed.count(lost.id), listed.count('"revoked": true')) == (2, 1)
    nobody = await privity("supplier", "revoke", "nobody", "--data", str(suppliers.data))
    assert (nobody.returncode, "NotFound" in nobody.stderr) == (1, True)


@pytest.mark.trial
@pytest.mark.soak
async def test_n8_a_homes_own_supplier_that_is_taken_back_while_it_runs_is_not_started_until_it_is_let_in(
    tmp_path: Path,
) -> None:
    with RunningHome(tmp_path / "home", suppliers=2) as home:
        folders = [folder_of(home.data, f"supplier-{number}") for number in (1, 2)]
        first, second = [int((each / "pid").read_text()) for each in folders]
        revoked = await privity("--json", "supplier", "revoke", "supplier-1", "--data", str(home.data))
        assert '"cut_off": true' in revoked.stdout
        await eventually(lambda: not alive(first))
        await asyncio.sleep(3)  # some times as long as it takes to start another
        assert int((folders[0] / "pid").read_text()) == first
        (folders[0] / FILE).write_text(given_in(home, "supplier-1", folders[0] / FILE).text())
        await eventually(lambda: int((folders[0] / "pid").read_text()) != first)
        assert alive(second)


@pytest.mark.trial
@pytest.mark.soak
async def test_n8_what_a_supplier_had_that_was_taken_back_is_rebuilt_elsewhere(tmp_path: Path) -> None:
    """Also where nothing ran when it was taken back; the home's own one is not started again by the next `up`."""
    with RunningHome(tmp_path / "home", suppliers=2) as home:
        ann = somebody("ann", tmp_path, home.url)
        await ann.register()
        pid = home.data / "suppliers" / "supplier-1" / "pid"
        async with keyed(ann) as anns:
            object = await anns.put(await anns.supplier("supplier-2"))
            home.stop()
            stopped = await privity("--json", "supplier", "revoke", "supplier-1", "--data", str(home.data))
            assert '"cut_off": false' in stopped.stdout
            kept = read_credential((folder_of(home.data, "supplier-1") / FILE).read_text())
            home.start()
            await refused(home, kept)
            assert not alive(int(pid.read_text()))
        async with keyed(ann) as later:
            await until_here(later, "supplier-2")
            statuses = {each["name"]: each["status"] for each in await asyncio.to_thread(ann.json, "supplier", "list")}
            assert statuses == {"supplier-1": "away", "supplier-2": "here"}
        async with keyed(ann) as last:
            two = await last.supplier("supplier-2")
            assert (await two.status()).fragments == len(FRAGMENTS)
            assert object
        with run_supplier("heir", "--store", str(tmp_path / "heir"), "--data", str(home.data)) as heir:
            arguments = ("--data", str(home.data), "--replace", "supplier-1", "heir")
            repaired = await privity("supplier", "repair", *arguments)
            assert repaired.returncode == 0, repaired
            taken = await privity("--json", "supplier", "revoke", "heir", "--data", str(home.data))
            assert '"cut_off": true' in taken.stdout
            await eventually(lambda: heir.poll() is not None)  # its process ends by itself
        listed = {each["name"]: each["status"] for each in await asyncio.to_thread(ann.json, "supplier", "list")}
        assert listed == {"supplier-1": "replaced", "supplier-2": "here", "heir": "away"}
        home.kill()
        home.start()
        own = issue(open_keys(home.data), "other", app.running(home.data).bus_url)
        async with shown_to(home, own):
            await refused(home, kept)
