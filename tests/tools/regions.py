#!/usr/bin/env python3
"""fcntl locks, of processes and of open file descriptions, between two mounts
of one store: who gets them, who waits, and what a holder sees.

usage: regions.py DIRECTORY-IN-A THE-SAME-IN-B
"""
import errno
import fcntl
import multiprocessing
import os
import signal
import struct
import sys
import time

A, B = sys.argv[1:3]
READ, WRITE, FREE = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
COMMANDS = {        # get, set, set and wait
    False: (fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW),
    True: (36, 37, 38),     # F_OFD_
}
FLOCK = "hhqqi4x"
LONG = 60           # seconds, for what must come


class Interrupted(Exception):
    pass


def on_signal(*_):
    raise Interrupted


class Process:
    """Has a file open, does what it is told, and answers."""

    def __init__(self, path, ofd):
        self.path, self.commands = path, COMMANDS[ofd]
        self.ours, self.its = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.serve, daemon=True)
        self.process.start()

    def serve(self):
        signal.signal(signal.SIGUSR1, on_signal)
        self.fd = os.open(self.path, os.O_RDWR)
        while True:
            name, *args = self.its.recv()
            try:
                self.its.send(getattr(self, "do_" + name)(*args))
            except OSError as e:
                self.its.send(errno.errorcode[e.errno])
            except Interrupted:
                self.its.send("EINTR")

    def do_lock(self, kind, start, length, wait=False):
        l = struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(self.fd, self.commands[2 if wait else 1], l)
        return "ok"

    def do_test(self, kind, start, length):
        l = struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0)
        kind, _, start, length, pid = struct.unpack(
            FLOCK, fcntl.fcntl(self.fd, self.commands[0], l))
        if kind == FREE:
            return "free"
        return kind, start, length, pid

    def do_write(self, text):
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text, 0)
        return "ok"

    def do_read(self):
        return os.pread(self.fd, 1000, 0), os.fstat(self.fd).st_size

    def do_close_another(self):
        os.close(os.open(self.path, os.O_RDONLY))
        return "ok"

    def do_close(self):
        os.close(self.fd)
        return "ok"

    def do_count(self, times):
        """A number in the file grows, under a lock far behind it."""
        for _ in range(times):
            self.do_lock(WRITE, 1 << 40, 10, True)
            n = int(os.pread(self.fd, 100, 0) or b"0") + 1
            os.pwrite(self.fd, b"%d" % n, 0)
            self.do_lock(FREE, 1 << 40, 10)
        return "ok"

    def begin(self, *what):
        self.ours.send(what)

    def answer(self):
        if not self.ours.poll(LONG):
            sys.exit(f"{self.path}: no answer")
        return self.ours.recv()

    def __getattr__(self, name):
        def call(*args):
            self.begin(name, *args)
            return self.answer()
        return call

    def asleep(self):
        """Waits until it is in the call; the kernel's name for that may vary."""
        for _ in range(100):
            with open(f"/proc/{self.process.pid}/wchan") as f:
                if "request_wait" in f.read():
                    return
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.join(LONG)
        if self.process.exitcode is None:
            sys.exit(f"{self.path}: it does not die")


def expect(what, want, got):
    if got != want:
        sys.exit(f"{what}: {got!r}, not {want!r}")


def becomes_free(what, process, *lock):
    """The kernel tells of some ends behind the back of who causes them."""
    for _ in range(LONG * 20):
        got = process.lock(*lock)
        if got != "EAGAIN":
            break
        time.sleep(0.05)
    expect(what, "ok", got)


def conflicts(a, b, ofd):
    def held(process, start, length):
        # A description is nobody's in particular.
        got = b.test(WRITE, 0, 0) if process is a else a.test(WRITE, 0, 0)
        want = WRITE, start, length, process.process.pid
        expect("who is in the way", want[:3 if ofd else 4],
               got[:3 if ofd else 4])
    expect("a lock of A", "ok", a.lock(WRITE, 0, 10))
    expect("over it", "EAGAIN", b.lock(WRITE, 5, 10))
    expect("to read", "EAGAIN", b.lock(READ, 9, 1))
    expect("beside it", "ok", b.lock(WRITE, 10, 10))
    expect("over B's", "EAGAIN", a.lock(READ, 10, 1))
    held(a, 0, 10)
    held(b, 10, 10)
    expect("one's own is not in the way", "free", a.test(WRITE, 0, 10))
    expect("a hole", "ok", a.lock(FREE, 3, 4))
    expect("in the hole", "ok", b.lock(WRITE, 3, 4))
    expect("at its edge", "EAGAIN", b.lock(WRITE, 2, 1))
    expect("behind it", "EAGAIN", b.lock(WRITE, 7, 1))
    for kind in FREE, READ:
        for p in a, b:
            expect("both give up, and read", "ok", p.lock(kind, 0, 0))
    expect("one that writes", "EAGAIN", b.lock(WRITE, 0, 1))
    expect("A ends", "ok", a.lock(FREE, 0, 0))
    expect("to write instead of to read", "ok", b.lock(WRITE, 0, 0))
    expect("to read then", "EAGAIN", a.lock(READ, 0, 0))
    expect("to read instead of to write", "ok", b.lock(READ, 0, 0))
    expect("both read again", "ok", a.lock(READ, 0, 0))
    for p in a, b:
        expect("all is given up", "ok", p.lock(FREE, 0, 0))


def contents(a, b):
    """The files were open before: what counts is the lock."""
    for i, (here, there) in enumerate([(a, b), (b, a), (a, b)]):
        text = b"round %d" % i * (i + 1)
        expect("a lock", "ok", here.lock(WRITE, 0, 0))
        expect("a write", "ok", here.write(text))
        expect("given up", "ok", here.lock(FREE, 0, 0))
        expect("a lock there", "ok", there.lock(READ, 0, 1))
        expect("what a lock shows", (text, len(text)), there.read())
        expect("given up there", "ok", there.lock(FREE, 0, 1))
        with open(there.path, "rb") as f:
            expect("what an open shows", text, f.read())


def waits(a, b, ofd):
    c, d = Process(b.path, ofd), Process(b.path, ofd)
    for text in b"before", b"released":
        expect("a lock", "ok", a.lock(WRITE, 0, 0))
        for p in b, c, d:
            p.begin("lock", WRITE, 0, 1, True)
        for p in b, c, d:
            p.asleep()
        os.kill(c.process.pid, signal.SIGUSR1)
        expect("who is interrupted", "EINTR", c.answer())
        d.kill()
        d = Process(b.path, ofd)
        expect("a write", "ok", a.write(text))
        expect("given up", "ok", a.lock(FREE, 0, 0))
        expect("who waited", "ok", b.answer())
        expect("what it sees", (text, len(text)), b.read())
        expect("only one has it", "EAGAIN", a.lock(WRITE, 0, 1))
        expect("that one", "ok", b.lock(FREE, 0, 0))
        expect("whom no signal has left a lock", "ok", a.lock(WRITE, 0, 0))
        expect("given up", "ok", a.lock(FREE, 0, 0))
    for p in c, d:
        p.kill()


def ends(a, b, ofd):
    expect("a lock", "ok", a.lock(WRITE, 0, 0))
    expect("another descriptor is closed", "ok", a.close_another())
    expect("which ends a process's locks", "EAGAIN" if ofd else "ok",
           b.lock(WRITE, 0, 0))
    expect("given up", "ok", b.lock(FREE, 0, 0))
    expect("a lock", "ok", a.lock(WRITE, 0, 0))
    expect("the descriptor is closed", "ok", a.close())
    becomes_free("after a close", b, WRITE, 0, 0)
    other = Process(a.path, ofd)
    expect("held in B", "EAGAIN", other.lock(READ, 5, 5))
    b.kill()
    becomes_free("after a kill", other, WRITE, 0, 0)
    for p in a, other:
        p.kill()


def counter(ofd):
    paths = [f"{d}/counter{ofd:d}" for d in (A, B)]
    open(paths[0], "w").close()
    all_of_them = [Process(p, ofd) for p in paths * 2]
    for p in all_of_them:
        p.begin("count", 12)
    for p in all_of_them:
        expect("who counts", "ok", p.answer())
        p.kill()
    for p in paths:
        with open(p) as f:
            expect("the counter", "48", f.read())


for ofd in False, True:
    with open(f"{A}/region{ofd:d}", "w") as f:
        f.write("old")
    a, b = (Process(f"{d}/region{ofd:d}", ofd) for d in (A, B))
    conflicts(a, b, ofd)
    contents(a, b)
    waits(a, b, ofd)
    ends(a, b, ofd)
    counter(ofd)
