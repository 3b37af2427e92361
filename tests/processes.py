"""Real processes of the service, on databases of their own.

`async with service(workers=2) as running:` and then `running.url`, `running.cli(...)`.
"""

import base64
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from service.embedded.checkout import ROOT
from service.embedded.process import Running, started
from service.embedded.servers import free_port
from tests.servers import cloned_database, redis_database

__all__ = ["MASTER_KEY", "Running", "service"]

MASTER_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
"""The master key of every database the tests make."""


@asynccontextmanager
async def service(
    *,
    workers: int = 1,
    policy: str = "",
    env: Mapping[str, str] | None = None,
    database_url: str = "",
    redis_url: str = "",
    wait: bool = True,
) -> AsyncIterator[Running]:
    """Start the service on a free port and, where no address is given, on databases of its own.

    `policy` is the text of the policy file, `env` are more AUTH_* (they win); without `wait` it
    may not answer yet.  It is stopped on the way out.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tesserra-service-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
            "PYTHONPATH": str(ROOT),
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_WORKERS": str(workers),
            "AUTH_DATABASE_URL": database_url or stack.enter_context(cloned_database()),
            "AUTH_REDIS_URL": redis_url or stack.enter_context(redis_database()),
            "AUTH_MASTER_KEYS": MASTER_KEY,
            "AUTH_DATA_DIR": str(folder),
        }
        if policy:
            (folder / "policy.toml").write_text(policy)
            environment["AUTH_POLICY_FILE"] = str(folder / "policy.toml")
        environment |= env or {}
        async with started(environment, folder / "log", wait=wait) as running:
            yield running
