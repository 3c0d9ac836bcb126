"""A host process that a test starts in one of several situations; it runs programs and prints JSON lines.

Its environment holds a key, it listens on sockets and owns files: what the attacks look for.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from sandbox import ChildEnded, Limits, Zygote, shared_memory


def deny_namespaces():
    """What a container runtime's default filter does: no new namespaces, no mounts."""
    from sandbox.layers import kernel, seccomp

    numbers = [
        seccomp._DENIED[name] for name in ("unshare", "mount", "umount2", "pivot_root", "setns", "mount_setattr")
    ]
    keep = seccomp._program
    body = [step for number in numbers for step in seccomp._answer(number, seccomp._EPERM)]
    body += seccomp._answer(seccomp._CLONE3, seccomp._ENOSYS)
    body += seccomp._answer_if_any_bit(seccomp._CLONE, 0, seccomp._CLONE_NEW_ANY)
    start = keep(seccomp.Reach(True, True, True, False))[:6]
    seccomp._program = lambda reach: [*start, *body, (seccomp._RETURN, 0, 0, seccomp._ALLOW)]
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.restrict(seccomp.Reach(True, True, True, False))
    seccomp._program = keep


def build_world(home):
    """Things worth attacking; returns their names and what must stay referenced."""
    os.umask(0o022)
    (home / ".ssh").mkdir(parents=True)
    (home / "run").mkdir()
    (home / ".ssh" / "key").write_text("PRIVATE KEY")
    (home / "run" / "record").write_text("a record")
    (home / "run" / "other").write_text("another record")
    tcp = socket.create_server(("127.0.0.1", 0))
    stream, abstract, datagram = (
        socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    )
    stream.bind(f"{home}/stream")
    stream.listen()
    abstract.bind(f"\0agent-test-{os.getpid()}")
    abstract.listen()
    datagram.bind(f"{home}/datagram")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", "ARGUMENT-KEY"])
    world = {
        "key": os.environ["OPENAI_API_KEY"],
        "argument_key": "ARGUMENT-KEY",
        "host_pid": os.getpid(),
        "key_file": f"{home}/.ssh/key",
        "run_dir": f"{home}/run",
        "record": f"{home}/run/record",
        "tcp_port": tcp.getsockname()[1],
        "stream_socket": f"{home}/stream",
        "abstract_socket": f"agent-test-{os.getpid()}",
        "datagram_socket": f"{home}/datagram",
    }
    return world, (tcp, stream, abstract, datagram, (home / ".ssh" / "key").open(), victim)


def attack(zygote, home):
    world, kept = build_world(home)
    # None, or (declared) one of the two that read past file modes.
    world["capabilities"] = [1 << 1, 1 << 2] if "no capabilities but to read" in zygote.tier.layers else [0]
    before = Path(world["record"]).stat()
    signals = []
    signal.signal(signal.SIGWINCH, lambda number, frame: signals.append(number))
    with zygote.start("sandbox_attacks:main", world | {"server_pid": zygote.pid}) as child:
        try:
            result, _ = child.receive(30)
        except ChildEnded as ended:
            raise SystemExit(f"{ended}\n{ended.outcome.output}") from None
    # Judged from outside: a call may answer with success and have no effect.
    result["attacks"] |= changes(before, world["record"])
    result["attacks"]["signal to everyone"] = "host reached" if signals else None
    kept[-1].kill()
    kept[-1].wait()
    for thing in kept[:-1]:
        thing.close()
    return result


def changes(before, record):
    after = Path(record).stat()
    return {
        "mode of outside file": "changed" if before.st_mode != after.st_mode else None,
        "times of outside file": "changed" if after.st_mtime < before.st_mtime else None,
    }


def holders(descriptor):
    """Processes, other than this, that hold a shared memory: it marks a program and all its offspring."""
    inode = os.fstat(descriptor).st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if any(link.stat().st_ino == inode for link in (entry / "fd").iterdir()):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def hog(zygote, request):
    marker = shared_memory(4096)
    child = zygote.start(
        f"sandbox_hogs:{request['entry']}",
        request.get("arguments"),
        Limits(**request.get("limits", {})),
        shared=(marker,),
    )
    with child:
        if request.get("await"):
            child.receive(10)
        if request.get("kill"):
            began_s = time.monotonic()
            outcome = child.kill()
        else:
            outcome = child.finish()
            began_s = time.monotonic()
    left = holders(marker)
    os.close(marker)
    return vars(outcome) | {"survivors": left, "end_s": time.monotonic() - began_s}


def main():
    setting = json.loads(sys.argv[1])
    if setting["filtered"]:
        deny_namespaces()
    options = {"without": tuple(setting["without"]), "search_path": (setting["programs"],)}
    with Zygote(preload=(), strictness="unsafe", **options) as zygote:
        print(json.dumps({"tier": vars(zygote.tier), "own_user": "own user" in zygote.tier.layers}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            answer = attack(zygote, Path(setting["home"])) if "attack" in request else hog(zygote, request)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
