"""`python -m service`, and `tesserra-auth` once installed."""

import os
import sys
import tempfile


def main() -> None:
    """Run a command."""
    if sys.argv[1:2] == ["serve"]:
        # The folder of the metrics.  prometheus_client reads the variable once, when imported.
        try:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="tesserra-metrics-")
        except OSError as exc:
            sys.exit(f"tesserra-auth: TMPDIR: no file can be written there ({exc.strerror})")

    from service.cli import main as command  # noqa: PLC0415 - as said

    command()


if __name__ == "__main__":
    main()
