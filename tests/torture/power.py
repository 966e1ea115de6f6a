"""A power cut: of an output only that is left which was synced, and of the rest as much as chance will have it.

What a disk may do after a cut, as POSIX allows it: of a file that was written after its last sync any length up to what
was written remains, or zeros; of the names made and removed in a folder after the folder's last sync, only the first so
many are done.
"""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any


class Power:
    """Knows what is on the disk for certain: everything at first, then what the journal says."""

    def __init__(self, base: Path) -> None:
        """Take the folder that holds the output `out`; the journal and what was removed stand beside it."""
        self.kept = base.with_name(f"{base.name}-kept")
        self._output = base / "out"
        self._synced: dict[int, int] = {}  # inode: bytes
        self._names: dict[str, dict[str, int]] = {}  # folder: names with their inodes
        self._settle()

    def cut(self, chance: Random) -> None:
        """Leave of the output what a power cut may leave, drawn from `chance`."""
        after: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)  # what was done since the folder's sync
        for entry in self._journal():
            if entry["did"] == "sync file":
                self._synced[entry["inode"]] = max(self._synced.get(entry["inode"], 0), entry["size"])
            elif entry["did"] == "sync folder":
                self._names[entry["folder"]] = entry["names"]
                after[entry["folder"]].clear()
            else:
                folder, _, name = entry["path"].rpartition("/")
                after[folder].append((entry["did"], name, entry["inode"]))
        contents = {path.stat().st_ino: path for path in (*self.kept.iterdir(), *self._output.rglob("*"))}
        if self._output.exists():
            contents[self._output.stat().st_ino] = self._output
        left = self._output.with_name("left")
        left.mkdir()
        self._leave(self._output.parent, left, after, contents, chance, only=self._output.name)
        shutil.rmtree(self._output, ignore_errors=True)
        if (left / "out").exists():
            (left / "out").rename(self._output)
        shutil.rmtree(left)
        self._settle()

    def _leave(
        self,
        folder: Path,
        to: Path,
        after: dict[str, list[tuple[str, str, int]]],
        contents: dict[int, Path],
        chance: Random,
        *,
        only: str | None = None,
    ) -> None:
        """Copy what is left of `folder` to `to`."""
        names = dict(self._names.get(str(folder), {}))
        done = after.get(str(folder), [])
        known = {*names, *(name for _, name, _ in done)}
        for did, name, inode in done[: chance.randint(0, len(done))]:
            if did == "make":
                names[name] = inode
            elif names.get(name) == inode:
                del names[name]
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in known and chance.random() < 0.5:  # made without a word, as Arrow makes files
                names[path.name] = path.stat().st_ino
        for name, inode in sorted(names.items()):
            if only not in {None, name} or inode not in contents:
                continue
            if contents[inode].is_dir():
                (to / name).mkdir()
                self._leave(folder / name, to / name, after, contents, chance)
            else:
                (to / name).write_bytes(self._content(contents[inode], inode, chance))

    def _content(self, path: Path, inode: int, chance: Random) -> bytes:
        whole = path.read_bytes()
        synced = min(self._synced.get(inode, 0), len(whole))
        kept = chance.randint(synced, len(whole)) if chance.random() < 0.5 else synced
        zeros = bytes(len(whole) - kept) if chance.random() < 0.25 else b""
        return whole[:kept] + zeros

    def _journal(self) -> list[dict[str, Any]]:
        file = self.kept / "journal"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _settle(self) -> None:
        """Take all that is there for safe, and begin a new journal."""
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir()
        there = [self._output, *self._output.rglob("*")] if self._output.exists() else []
        self._synced = {path.stat().st_ino: path.stat().st_size for path in there if path.is_file()}
        folders = [path for path in there if path.is_dir()]
        self._names = {str(one): {path.name: path.stat().st_ino for path in one.iterdir()} for one in folders}
        self._names[str(self._output.parent)] = (
            {self._output.name: self._output.stat().st_ino} if self._output.exists() else {}
        )
