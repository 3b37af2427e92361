"""What the tests read of processes, where a name could mislead them."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.embedded.checkouts import living, numbers


def test_a_process_is_read_past_the_brackets_of_its_name(tmp_path: Path) -> None:
    named = shutil.copy(shutil.which("sleep") or "", tmp_path / "(sd-pam) Z 1")
    with subprocess.Popen([named, "60"]) as sleeper:
        try:
            assert int(numbers(Path(f"/proc/{sleeper.pid}/stat"))[1]) == os.getpid()
            assert living({sleeper.pid: "sleep"})
        finally:
            sleeper.kill()
    assert not living({sleeper.pid: "sleep"})
