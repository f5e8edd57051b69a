"""The second process of two floors: it answers at once, or once a writer thread has synced a commit.

`python -m bench.echo HOME` says `ready` and ends with SIGTERM.
"""

import asyncio
import queue
import sys
import threading
from contextlib import closing
from pathlib import Path

from nats.aio.msg import Msg

import app
from bench.floors import SyncedFile
from infra.bus import connect
from infra.processes import stop_on_signals

AT_ONCE = "bench.echo"
COMMITTED = "bench.commit"


async def serve(data: Path) -> None:
    """Answer on the bus of the home in that folder until SIGTERM."""
    stopping, loop = stop_on_signals(), asyncio.get_running_loop()
    waiting: queue.SimpleQueue[Msg | None] = queue.SimpleQueue()
    bus = await connect(app.running(data).backend(), name="bench-echo")

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    async def hand_over(message: Msg) -> None:
        waiting.put(message)

    def write() -> None:
        with closing(SyncedFile(data / "echo.db")) as file:
            while message := waiting.get():
                file.commit(1)
                asyncio.run_coroutine_threadsafe(answer(message), loop)

    writer = threading.Thread(target=write)
    writer.start()
    await bus.subscribe(AT_ONCE, cb=answer)
    await bus.subscribe(COMMITTED, cb=hand_over)
    await bus.flush()
    print("ready", flush=True)
    await stopping.wait()
    waiting.put(None)
    await asyncio.to_thread(writer.join)
    await bus.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
