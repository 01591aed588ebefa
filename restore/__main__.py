"""The program `restore`, and `python -m restore`: what Ctrl-C does, then the command line.

The first Ctrl-C stops the command, which keeps what is finished and says so. A second one leaves at once. Either way
the exit status is 130. Nothing else is imported before this holds.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def stop(_number: int, _frame: FrameType | None) -> None:
    """What is done on Ctrl-C: an exception the first time, the end of the process the second."""
    signal.signal(signal.SIGINT, leave)
    raise KeyboardInterrupt


def leave(_number: int, _frame: FrameType | None) -> None:
    """The end of the process, whatever it does just then."""
    os._exit(INTERRUPTED)


def main() -> int:
    """Exit status of the command that the program was called with."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job is not meant
        signal.signal(signal.SIGINT, stop)
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        # The status is settled. Python would give the signal back to the system while it winds up, which kills.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
