"""What a program sees of a checkout it imports from: the packages, not what lies beside them."""

import pytest

from sandbox import Zygote

PROGRAM = """
from pathlib import Path

def main(channel, arguments, shared):
    import beside
    root = Path(__file__).parent.parent
    secrets = {}
    for name in (".env", "transcripts/journal.jsonl", "notes/key.txt", "project/inner.txt"):
        try:
            secrets[name] = (root / name).read_text()
        except OSError as error:
            secrets[name] = type(error).__name__
    channel.send({"secrets": secrets, "listed": sorted(entry.name for entry in root.iterdir()), "beside": beside.VALUE})
"""


@pytest.fixture
def checkout(tmp_path):
    for folder in ("project", "transcripts", "notes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "__init__.py").write_text("")
    (tmp_path / "project" / "program.py").write_text(PROGRAM)
    (tmp_path / "project" / "inner.txt").write_text("part of the package")
    (tmp_path / "beside.py").write_text("VALUE = 7")
    for secret in (".env", "transcripts/journal.jsonl", "notes/key.txt"):
        (tmp_path / secret).write_text("a secret")
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("without", [(), ("own_root",), ("namespaces",)], ids=["T1", "T2", "T3"])
def test_packages_are_readable_and_nothing_beside_them(checkout, without):
    with Zygote(preload=(), search_path=(str(checkout),), without=without) as zygote:
        with zygote.start("project.program:main") as child:
            seen, _ = child.receive(10)
        has_own_root = "own root" in zygote.tier.layers
    inner = seen["secrets"].pop("project/inner.txt")
    assert inner == "part of the package"
    assert seen["beside"] == 7
    assert set(seen["secrets"].values()) <= {"FileNotFoundError", "PermissionError"}, seen
    if has_own_root:
        assert seen["listed"] == ["beside.py", "project"]
