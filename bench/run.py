"""One run: the floors of this machine, a home of its own, and what the home does beside the floors."""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

from nats.aio.client import Client
from rich.console import Console

import app
from bench import client, echo, floors
from bench.client import Sender
from bench.plan import MESSAGE, Plan, p50, p99, plan_for
from infra.bus import connect
from infra.mapping import to_positioned
from infra.processes import Child
from infra.store import open_store
from infra.views_db import open_views
from privity.agent.profile import Waiting
from privity.agent.session import Signer
from privity.testing.home import RunningHome
from projections.projector import Projector

Figures = dict[str, dict[str, float]]

MOST_IDLE_TO_ECHO = 3
LEAST_UNDER_LOAD = 2000  # commands a second
PAUSE = 0.003  # seconds of quiet before a command or round trip of the idle kind
CHILD_TIMEOUT = 30.0

console = Console(stderr=True)


def main(seconds: int = 5) -> Figures:
    """Measure; the figures by group. Each measurement takes up to `seconds`."""
    return measure(plan_for(seconds))


def measure(plan: Plan) -> Figures:
    """The figures of one run: `floors`, `home`, and the `ratios` between them. Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="privity-bench-") as name:
        folder = Path(name)
        found: Figures = {"floors": {}, "home": {}, "ratios": {}}
        _say("floors: synced commits, signatures")
        found["floors"] |= floors.commits(plan, folder) | floors.signatures(plan)
        with RunningHome(folder / "home") as home:
            asyncio.run(_against(plan, home, folder, found))
        _say("rebuild of the views")
        found["home"]["rebuild_events_per_s"] = _rebuild(plan, folder / "home", folder)
    found["ratios"] = _ratios(plan, found)
    return {group: {figure: round(value, 2) for figure, value in each.items()} for group, each in found.items()}


async def _against(plan: Plan, home: RunningHome, folder: Path, found: Figures) -> None:
    async with AsyncExitStack() as stack:
        bus = await connect(app.running(home.data).backend(), name="bench")
        stack.push_async_callback(bus.close)
        second = Child(["-m", "bench.echo", str(home.data)], CHILD_TIMEOUT)
        stack.push_async_callback(second.stop)
        await second.start()
        _say("accounts")
        signers = [await client.register(folder, home.url) for _ in range(plan.accounts)]
        sender = await client.open_sender(home.url, signers)
        stack.push_async_callback(sender.close)
        await _warm_up(plan, sender, signers, bus)
        _say("floor: publish")
        found["floors"] |= await floors.publishes(plan, bus)
        _say("idle, and the floors of idle in turn with it")
        await _idle(plan, sender, signers[0], bus, found)
        _say("1 in flight")
        commands = _signed(plan.single, signers[:1])
        found["home"]["commands_per_s_1_in_flight"] = await sender.load(commands, 1, plan.seconds)
        _say("result to row")
        found["home"]["result_to_row_p50_ms"] = p50(await _visible(plan, sender, signers[0]))
        _say(f"{plan.in_flight} in flight")
        await _load(plan, sender, signers, found)


async def _warm_up(plan: Plan, sender: Sender, signers: list[Signer], bus: Client) -> None:
    await sender.load(_signed(plan.warm_up, signers), plan.in_flight, plan.seconds)
    for _ in range(min(plan.warm_up, plan.single)):
        await bus.request(echo.COMMITTED, b"", timeout=client.RESULT_TIMEOUT)


async def _idle(plan: Plan, sender: Sender, signer: Signer, bus: Client, found: Figures) -> None:
    """All three in turn, so that a slow moment of the disk or of the machine meets each."""
    commands, data = _signed(plan.single, [signer]), os.urandom(MESSAGE)
    trips, echoes, idle = [], [], []
    for number in plan.turns(plan.single):
        trips.append(await _timed(bus.request(echo.AT_ONCE, data, timeout=client.RESULT_TIMEOUT)))
        echoes.append(await _timed(bus.request(echo.COMMITTED, data, timeout=client.RESULT_TIMEOUT)))
        idle.append(await _timed(sender.send(commands[number])))
    found["floors"] |= {"round_trip_p50_ms": p50(trips), "echo_with_commit_p50_ms": p50(echoes)}
    found["home"] |= {"idle_p50_ms": p50(idle), "idle_p99_ms": p99(idle)}


async def _timed(work: Awaitable[object]) -> float:
    await asyncio.sleep(PAUSE)
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


async def _visible(plan: Plan, sender: Sender, signer: Signer) -> list[float]:
    made = [client.add_item(signer) for _ in range(plan.single)]
    took = []
    for number in plan.turns(plan.single):
        item, command = made[number]
        result = await sender.send(command)
        took.append(await sender.see(signer, item, client.position_of(result)))
    return took


async def _load(plan: Plan, sender: Sender, signers: list[Signer], found: Figures) -> None:
    commands = _signed(plan.load, signers)
    gc.collect()
    gc.freeze()  # what is signed is not to be walked through while the clock runs
    found["home"][_under_load(plan)] = await sender.load(commands, plan.in_flight, plan.seconds)
    gc.unfreeze()
    last = client.position_of(await sender.send(_signed(1, signers)[0]))
    start = time.perf_counter()
    await sender.caught_up(signers[0], last)
    found["home"]["views_caught_up_after_s"] = time.perf_counter() - start


def _signed(count: int, signers: list[Signer]) -> list[Waiting]:
    return [client.add_item(signers[number % len(signers)])[1] for number in range(count)]


def _rebuild(plan: Plan, data: Path, folder: Path) -> float:
    """Events a second from the store into fresh views of all kinds, on one thread."""
    store = open_store(app.running(data).store_url)
    engine = open_views(f"sqlite:///{folder / 'rebuilt.db'}")
    try:
        projector, start, folded = Projector(engine), time.perf_counter(), 0
        for _ in plan.turns(plan.load):
            page = [to_positioned(stored) for stored in store.after(projector.position, 500)]
            if not page:
                break
            projector.apply(page)
            folded += len(page)
        return folded / (time.perf_counter() - start)
    finally:
        engine.dispose()
        store.close()


def _ratios(plan: Plan, found: Figures) -> dict[str, float]:
    """What can be compared between machines; beside the two that have one, their bars."""
    home, floor = found["home"], found["floors"]
    return {
        "idle_p50_to_echo_p50": home["idle_p50_ms"] / floor["echo_with_commit_p50_ms"],
        "idle_p50_to_echo_p50_at_most": MOST_IDLE_TO_ECHO,
        "commands_under_load_to_bar": home[_under_load(plan)] / LEAST_UNDER_LOAD,
        "commands_under_load_to_bar_at_least": 1,
        "row_p50_to_round_trip_p50": home["result_to_row_p50_ms"] / floor["round_trip_p50_ms"],
        "commands_under_load_to_verifies": home[_under_load(plan)] / floor["verifies_per_s"],
    }


def _under_load(plan: Plan) -> str:
    return f"commands_per_s_{plan.in_flight}_in_flight"


def _say(what: str) -> None:
    console.print(f"[dim]bench:[/] {what}")
