"""What `serve` says when it starts."""

from tests.processes import service
from tests.system.visitors import log_lines


async def test_an_allowed_origin_of_another_site_is_warned_of() -> None:
    origins = {"AUTH_ALLOWED_ORIGINS": "http://localhost:3000,http://127.0.0.1:3000"}
    async with service(env=origins) as running:
        told = [line for line in log_lines(running) if line["level"] == "warning"]
        (line,) = (one for one in told if "another site" in str(one["event"]))
        assert "AUTH_ALLOWED_ORIGINS: http://127.0.0.1:3000 is not same-site" in str(line["error"])
