"""A process that seals for ever, to be killed: `python -m tests.flows.upkeep.sealing_process`."""

import asyncio
import sys

from service import settings as deployment
from service.flows.upkeep.sealing import seal
from service.runtime import open_runtime


async def main() -> None:
    """Seal, and say once that it began."""
    async with open_runtime(deployment.load(), follow=False) as rt:
        sys.stdout.write("sealing\n")
        sys.stdout.flush()
        while True:
            await seal(rt)


if __name__ == "__main__":
    asyncio.run(main())
