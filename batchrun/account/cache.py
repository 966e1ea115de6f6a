"""What was read of an account, kept for a day: a file per access and Region in the user's cache folder."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from batchrun.account.facts import RegionFacts
from batchrun.storage.files import as_json, write_atomically

DAY_S = 86_400.0
FORMAT = 1  # of the files; others are not read


def cache_folder() -> Path:
    """Return the folder: batchrun in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "batchrun"


class Cache:
    """Facts of earlier starts; a file that cannot be read or written is as good as none."""

    def __init__(self, whose: str) -> None:
        """`whose` tells accounts apart; it is kept as a digest only."""
        self._folder = cache_folder()
        self._whose = whose

    def __repr__(self) -> str:
        return f"Cache({str(self._folder)!r})"

    def load(self, name: str, now_s: float) -> tuple[RegionFacts, float]:
        """Return what was kept under `name` less than a day before `now_s`, and when it was read [Unix time]."""
        try:
            told = json.loads(self._path(name).read_text(encoding="utf-8"))
            if told["format"] == FORMAT and 0 <= now_s - told["read_at_s"] < DAY_S:
                return RegionFacts.from_json(told["facts"]), float(told["read_at_s"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return RegionFacts(), now_s

    def keep(self, name: str, facts: RegionFacts, read_at_s: float) -> None:
        """Keep facts, in a file for its owner alone."""
        path = self._path(name)
        with suppress(OSError):  # a home that is read-only, or none
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = {"format": FORMAT, "read_at_s": read_at_s, "facts": facts.to_json()}
            write_atomically(path, as_json(content), sync=False)

    def prune(self, now_s: float) -> None:
        """Remove what no start would read any more: keys that are renewed each hour leave files behind."""
        with suppress(OSError):
            for path in self._folder.glob("account-*.json"):
                if now_s - path.stat().st_mtime >= DAY_S:
                    path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(f"{self._whose}\n{name}".encode()).hexdigest()[:24]
        return self._folder / f"account-{name.partition(' ')[0]}-{digest}.json"
