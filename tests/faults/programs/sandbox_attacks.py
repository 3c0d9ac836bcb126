"""Runs inside the sandbox: tries what must be denied, and what CUDA and compilers must be allowed.

Every attack returns evidence (a text) where it got through and raises OSError, or returns None, where it was denied.
"""

import contextlib
import ctypes
import mmap
import os
import signal
import socket
import struct
import sys
import sysconfig
from pathlib import Path

PRIVATE_UNRESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE

libc = ctypes.CDLL(None, use_errno=True)


def system_call(number, *arguments):
    values = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def scan_own(world):
    return next((name for name, value in os.environ.items() if world["key"] in value), None)


def scan(name, wanted):
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / name).read_bytes():
                return f"{entry / name}"
    return None


def read_link(world, make):
    make(world["key_file"], "link")
    return Path("link").read_text()


def opens(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))
    return path


def creates_in(folder):
    """An unnamed file: where the attack gets through it leaves nothing."""
    return opens(folder, os.O_TMPFILE | os.O_WRONLY)


def any_opens(folder):
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            return opens(str(entry))
    return None


def host_proc(world, name):
    return opens(f"/proc/{world['host_pid']}/{name}")


def changed(function):
    function()
    return "done"


def unix_connect(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as endpoint:
        endpoint.connect(address)
        return "connected"


def datagram(world):
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.sendto(b"out", world["datagram_socket"])
    return "sent"


def tcp(world):
    with socket.create_connection(("127.0.0.1", world["tcp_port"]), timeout=1):
        return "connected"


def udp(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.sendto(b"out", ("127.0.0.1", world["tcp_port"]))
        return "sent"


def open_socket(*kind):
    socket.socket(*kind).close()
    return "opened"


def ptrace_host(world):
    # PTRACE_SEIZE: unlike PTRACE_ATTACH it does not stop the host where it gets through.
    return "seized" if libc.ptrace(0x4206, world["host_pid"], 0, 0) == 0 else None


def vm_read(world):
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(buffer), 8)
    remote = struct.pack("QQ", 0x400000, 8)
    if libc.process_vm_readv(world["host_pid"], local, 1, remote, 1, 0) < 0:
        return None if ctypes.get_errno() != 14 else "EFAULT: allowed"
    return "read"


def write_descriptors(expected):
    opened = []
    for descriptor in range(3, 1024):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            if descriptor not in expected:
                opened.append(f"{descriptor}={Path(f'/proc/self/fd/{descriptor}').readlink()}")
    # The descriptor that pins the Landlock rule for naming threads has no rights (O_PATH).
    return [name for name in opened if not name.endswith("/task")]


def status_field(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split()[1]
    return None


def kill_all():
    os.kill(-1, signal.SIGWINCH)  # answers success even if nobody was reached: the host says whether it was
    return


def clone_user_namespace():
    pid = system_call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


ATTACKS = {
    "inherited descriptors": lambda w: write_descriptors({3}) or None,
    "key in own environment": scan_own,
    "key in environment of others": lambda w: scan("environ", w["key"].encode()),
    "key in command line of others": lambda w: scan("cmdline", w["argument_key"].encode()),
    "memory of host": lambda w: host_proc(w, "mem"),
    "maps of host": lambda w: host_proc(w, "maps") and Path(f"/proc/{w['host_pid']}/maps").read_text(),
    "root of host": lambda w: any(Path(f"/proc/{w['host_pid']}/root/tmp").iterdir()) and "listed",
    "cwd of host": lambda w: any(Path(f"/proc/{w['host_pid']}/cwd").iterdir()) and "listed",
    "descriptors of host": lambda w: any_opens(Path(f"/proc/{w['host_pid']}/fd")),
    "namespaces of host": lambda w: (
        host_proc(w, "ns/net")
        and changed(
            lambda: (
                libc.setns(os.open(f"/proc/{w['host_pid']}/ns/net", os.O_RDONLY), 0) == 0
                or (_ for _ in ()).throw(OSError)
            )
        )
    ),
    "key file": lambda w: Path(w["key_file"]).read_text(),
    "key file by symlink": lambda w: read_link(w, os.symlink),
    "key file by hard link": lambda w: read_link(w, os.link),
    "key file by /proc/1/root": lambda w: Path("/proc/1/root" + w["key_file"]).read_text(),
    "run directory listed": lambda w: any(Path(w["run_dir"]).iterdir()) and "listed",
    "run directory written": lambda w: changed(lambda: Path(w["run_dir"], "new").write_text("x")),
    "run record truncated": lambda w: changed(lambda: os.truncate(w["record"], 0)),
    "run record renamed": lambda w: changed(lambda: Path(w["record"]).rename(w["record"])),
    "/tmp written": lambda w: creates_in("/tmp"),
    "site-packages written": lambda w: creates_in(sysconfig.get_path("purelib")),
    "package written": lambda w: changed(lambda: Path(sys.modules["sandbox"].__file__).open("a").close()),
    "mode of outside file": lambda w: changed(lambda: Path(w["record"]).chmod(0o777)),
    "times of outside file": lambda w: changed(lambda: os.utime(w["record"], (1, 1))),
    "size of outside file": lambda w: str(Path(w["key_file"]).stat().st_size),
    "run directory removed from": lambda w: changed(lambda: Path(w["run_dir"], "other").unlink()),
    "TCP to loopback": tcp,
    "UDP": udp,
    "name service": lambda w: socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM) and tcp(w),
    "netlink": lambda w: open_socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "packets": lambda w: open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "vsock": lambda w: open_socket(40, socket.SOCK_STREAM, 0),
    "abstract socket": lambda w: unix_connect(socket.SOCK_STREAM, "\0" + w["abstract_socket"]),
    "named socket": lambda w: unix_connect(socket.SOCK_STREAM, w["stream_socket"]),
    "named datagram socket": datagram,
    "ptrace": ptrace_host,
    "process_vm_readv": vm_read,
    "pidfd_getfd": lambda w: str(system_call(438, os.pidfd_open(w["host_pid"]), 0, 0)),
    "signal to host": lambda w: changed(lambda: os.kill(w["host_pid"], 0)),
    "signal to fork server": lambda w: changed(lambda: os.kill(w["server_pid"], 0)),
    "signal to everyone": lambda w: kill_all(),
    "queued signal to host": lambda w: str(system_call(129, w["host_pid"], 0, bytes(128))),
    "priority of host": lambda w: changed(lambda: os.setpriority(os.PRIO_PROCESS, w["host_pid"], 19)),
    "affinity of host": lambda w: changed(lambda: os.sched_setaffinity(w["host_pid"], {0})),
    "limits of host": lambda w: str(system_call(302, w["host_pid"], 7, struct.pack("QQ", 900, 900), 0)),
    "io_uring": lambda w: str(system_call(425, 1, bytes(120))),
    "user namespace by unshare": lambda w: str(system_call(272, 0x10000000)),
    "user namespace by clone": lambda w: clone_user_namespace(),
    "keyring": lambda w: str(system_call(250, 0, -3, 1)),
    "userfaultfd": lambda w: str(system_call(323, 1)),
    "bpf": lambda w: str(system_call(321, 0, bytes(64), 64)),
    "perf": lambda w: str(system_call(298, bytes(120), 0, -1, -1, 0)),
    "secret memory": lambda w: str(system_call(447, 0)),
    "chroot": lambda w: changed(lambda: os.chroot(".")),
    "mount": lambda w: str(system_call(165, b"none", b".", b"tmpfs", 0, 0)),
    "device node": lambda w: changed(lambda: os.mknod("disk", 0o60600, os.makedev(254, 0))),
    "block device": lambda w: opens("/dev/vda"),
    "kernel memory": lambda w: opens("/dev/mem"),
    "sysctl": lambda w: opens("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "sysrq": lambda w: opens("/proc/sysrq-trigger", os.O_WRONLY),
    "hidden from watchdog": lambda w: changed(lambda: libc.prctl(4, 0, 0, 0, 0) == 0 or (_ for _ in ()).throw(OSError)),
    "capabilities": lambda w: None if int(status_field("CapEff"), 16) in w["capabilities"] else status_field("CapEff"),
    "new privileges": lambda w: None if status_field("NoNewPrivs") == "1" else "possible",
}


def name_thread():
    Path(f"/proc/self/task/{os.getpid()}/comm").write_text("cuda")


def private_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as endpoint:
        endpoint.bind("\0cuda-uvmfd")
        endpoint.listen()


def move_between_folders():
    """As compilers' caches do."""
    Path("from").mkdir()
    Path("from", "file").write_text("x")
    Path("from", "file").replace("moved")


def threads():
    import threading

    worker = threading.Thread(target=lambda: None)
    worker.start()
    worker.join()


def subprocess_echo():
    import subprocess

    assert subprocess.run(["sh", "-c", "echo $TMPDIR"], capture_output=True, check=True, text=True).stdout.strip()


NEEDED = {
    "memfd": lambda: os.close(os.memfd_create("x")),
    "naming a thread": name_thread,
    "abstract socket of its own": private_abstract_socket,
    "threads": threads,
    "temporary file": lambda: __import__("tempfile").TemporaryFile().close(),
    "subprocess": subprocess_echo,
    "copying a file": lambda: (Path("a").write_text("x"), __import__("shutil").copy("a", "b")),
    "moving a file": move_between_folders,
    "urandom": lambda: opens("/dev/urandom"),
    "null": lambda: Path("/dev/null").write_text("x"),
    "huge reservation": lambda: mmap.mmap(-1, 64 << 30, prot=0, flags=PRIVATE_UNRESERVED),
}


def attempt(function, *arguments):
    try:
        evidence = function(*arguments)
    except (OSError, AttributeError):
        return None
    return None if evidence is None else str(evidence)[:200]


def failure_of(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(channel, world, shared):
    os.environ.setdefault("HOME", ".")
    got_through = {name: attempt(attack, world) for name, attack in ATTACKS.items()}
    broken = {name: failure_of(need) for name, need in NEEDED.items()}
    channel.send({"attacks": got_through, "needs": broken, "uid": os.getuid()})
