"""Starts a server program: gives up root, arranges to end with the parent, and runs the program.

Run as a script (`python -I -S launch.py MODE SIGNAL PARENT PROGRAM ...`) rather than as a
`preexec_fn`, which is unsafe in a process with threads.

MODE is the user that the program runs as, since PostgreSQL refuses to run as root:
`self`    the present user;
`nobody`  uid and gid 65534;
`mapped`  a user namespace in which the present user appears as 65534 and still owns its files;
`reader`  uid 65534 with the right to pass through closed folders (CAP_DAC_*), for containers that
          forbid namespaces.
"""

import ctypes
import os
import sys
from pathlib import Path

NOBODY = 65534
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS = 1, 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_CAPABILITY_VERSION_3 = 0x20080522


def main(mode: str, signal_number: str, parent: str, *program: str) -> None:
    """Replace this process by `program`, or end with one line on standard error."""
    {"self": lambda: None, "nobody": _nobody, "mapped": _mapped, "reader": _reader}[mode]()
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):  # Linux.  A change of user clears this, so it comes last.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the process that asked for this server is gone")
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


def _nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _mapped() -> None:
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER):
        sys.exit(f"no user namespace: {os.strerror(ctypes.get_errno())}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")


def _reader() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    _nobody()
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):  # the lesser one first
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
        if libc.capset(header, sets):
            continue
        if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
