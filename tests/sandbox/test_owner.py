"""A fork server never outlives its owner, not even in the middle of a long import."""

import signal
import subprocess
import sys
import time
from pathlib import Path


def test_an_owner_killed_during_the_preload_takes_the_server_with_it(tmp_path):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(60)\n")
    program = f"""
import threading
from sandbox import Zygote
zygote = Zygote(preload=("slow_to_import",), env={{}}, search_path=({str(tmp_path)!r},))
threading.Thread(target=lambda: zygote.tier, daemon=True).start()
print("started", flush=True)
threading.Event().wait()
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with owner.stdout:
        assert owner.stdout.readline() == "started\n"
    servers = []
    deadline = time.monotonic() + 20
    while not servers and time.monotonic() < deadline:
        time.sleep(0.05)
        servers = children(owner.pid)
    time.sleep(0.5)  # let it get into the import
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    deadline = time.monotonic() + 3
    while any(map(is_alive, servers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert servers
    assert not any(map(is_alive, servers))


def children(pid):
    return [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
