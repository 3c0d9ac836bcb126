"""What one process of a candidate has compiled, as one archive, for another process of the same candidate.

Limits: files only, at most 48 MB, else nothing. Made and unpacked beside the candidate, whose own code it is; nothing
that decides reads it.
"""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

MODULES = "modules"
_ORIGIN = "origin.txt"  # Triton's lists of files name them by absolute paths: what they began with, where it was packed
_LISTS = "__grp__*.json"
_MOST_BYTES = 48 << 20


def packed(folder: Path) -> bytes:
    """Every file below `folder`, Triton's cache, under the folder's own name."""
    files = {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return archived(files | {_ORIGIN: str(folder.parent).encode()}) if files else b""


def archived(files: Mapping[str, bytes]) -> bytes:
    """An archive of these files by their relative paths; empty where that would be too much."""
    if not files or sum(map(len, files.values())) > _MOST_BYTES:
        return b""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def unpack(path: Path) -> None:
    """Lay the files down below the current directory, nowhere else."""
    if not path.stat().st_size:
        return
    with tarfile.open(path) as archive:
        archive.extractall(filter="data")
    if (origin := Path(_ORIGIN)).is_file():
        before, now = origin.read_text(), str(Path.cwd())
        for listed in Path().rglob(_LISTS):
            listed.write_text(listed.read_text().replace(before, now))


def modules() -> dict[str, bytes]:
    """Extension modules among what was unpacked, by name."""
    return {path.stem: path.read_bytes() for path in sorted(Path(MODULES).glob("*.so"))}
