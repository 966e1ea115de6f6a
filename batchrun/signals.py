"""The signals that end a run."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded() -> list[signal.Signals]:
    """Return the signals to end on: all, but for SIGHUP where `nohup` had it ignored.

    SIGINT is heeded even where it is ignored: shell scripts ignore it for whatever they start with `&`.
    """
    return [one for one in ENDING if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]
