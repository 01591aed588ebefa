"""The program `restore`, and `python -m restore`: what Ctrl-C does, then the command line.

The first Ctrl-C stops the command, which keeps what is finished and says so. A second one, or one while Python winds
up, leaves at once. Either way the exit status is 130. Nothing else is imported before this holds.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


class Stop:
    """What is done on Ctrl-C: an exception the first time, the end of the process from then on."""

    def __init__(self) -> None:
        self.last = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.last:
            os._exit(INTERRUPTED)
        self.last = True
        raise KeyboardInterrupt


def main() -> int:
    """Exit status of the command that the program was called with."""
    stop = Stop()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job is not meant
        signal.signal(signal.SIGINT, stop)
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        stop.last = True


if __name__ == "__main__":
    sys.exit(main())
