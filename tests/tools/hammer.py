#!/usr/bin/env python3
"""Processes that do everything at once in one directory. Each has names of its
own, of which it knows exactly what they must be, and all fight for shared ones,
where only the errors that a disk could give are allowed.

usage: hammer.py DIRECTORY SEED SECONDS PROCESSES MODEL    hammers, writes MODEL
       hammer.py --check DIRECTORY MODEL                   compares
"""
import errno
import fcntl
import json
import mmap
import os
import random
import stat
import sys
import time

FINE = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.EAGAIN,
        errno.EINVAL, errno.ESTALE, errno.EMLINK, errno.ENODATA, errno.ELOOP}


class Own:
    """What one process knows of its names: path -> ["f", hex], ["d"], ["l", target]."""

    def __init__(self, top, me, rnd):
        self.top, self.me, self.rnd, self.model = top, me, rnd, {}
        self.n = self.counted = 0

    def path(self, name):
        return os.path.join(self.top, name)

    def fresh(self):
        self.n += 1
        parent = self.rnd.choice([""] + [p + "/" for p, e in self.model.items() if e[0] == "d" and p.count("/") < 3])
        return parent + f"p{self.me}-{self.n}" if not parent else f"{parent}{self.n}"

    def some(self, kind):
        names = [p for p, e in self.model.items() if e[0] == kind]
        return self.rnd.choice(names) if names else None

    def create(self):
        name, data = self.fresh(), self.rnd.randbytes(self.rnd.randrange(0, 5000))
        fd = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(fd, data)
        os.close(fd)
        self.model[name] = ["f", data.hex()]

    def change(self):
        name = self.some("f")
        if not name:
            return
        data = bytearray(bytes.fromhex(self.model[name][1]))
        fd = os.open(self.path(name), os.O_RDWR)
        for _ in range(self.rnd.randrange(1, 4)):
            what = self.rnd.randrange(4)
            if what == 0:
                off, piece = self.rnd.randrange(0, len(data) + 100), self.rnd.randbytes(self.rnd.randrange(1, 300))
                os.pwrite(fd, piece, off)
                data.extend(bytes(max(0, off + len(piece) - len(data))))
                data[off:off + len(piece)] = piece
            elif what == 1:
                size = self.rnd.randrange(0, len(data) + 200)
                os.ftruncate(fd, size)
                data = data[:size] + bytes(max(0, size - len(data)))
            elif what == 2 and data:
                with mmap.mmap(fd, len(data)) as m:
                    at = self.rnd.randrange(len(data))
                    m[at:at + 1] = data[at:at + 1] = b"M"
            else:
                os.fsync(fd)
            got = os.pread(fd, len(data) + 10, 0)
            if got != bytes(data):
                raise AssertionError(f"{name}: reads back otherwise")
        os.close(fd)
        self.model[name] = ["f", bytes(data).hex()]

    def read(self):
        name = self.some("f")
        if name:
            with open(self.path(name), "rb") as f:
                if f.read().hex() != self.model[name][1]:
                    raise AssertionError(f"{name}: another content")

    def mkdir(self):
        name = self.fresh()
        os.mkdir(self.path(name))
        self.model[name] = ["d"]

    def symlink(self):
        name = self.fresh()
        os.symlink(f"t{self.n}", self.path(name))
        self.model[name] = ["l", f"t{self.n}"]

    def rename(self):
        if not self.model:
            return
        old, new = self.rnd.choice(list(self.model)), self.fresh()
        if new.startswith(old + "/"):
            return
        os.rename(self.path(old), self.path(new))
        for p in [p for p in self.model if p == old or p.startswith(old + "/")]:
            self.model[new + p[len(old):]] = self.model.pop(p)

    def remove(self):
        leaves = [p for p, e in self.model.items() if e[0] != "d" or not any(q.startswith(p + "/") for q in self.model)]
        if len(leaves) < 20:
            return
        name = self.rnd.choice(leaves)
        (os.rmdir if self.model[name][0] == "d" else os.unlink)(self.path(name))
        del self.model[name]

    def attributes(self):
        name = self.some("f")
        if name:
            os.chmod(self.path(name), 0o640)
            os.utime(self.path(name), ns=(1, 1431080000123456789))
            os.setxattr(self.path(name), "user.n", b"%d" % self.n)
            s = os.stat(self.path(name))
            if stat.S_IMODE(s.st_mode) != 0o640 or s.st_mtime_ns != 1431080000123456789:
                raise AssertionError(f"{name}: {oct(s.st_mode)} {s.st_mtime_ns}")

    def locked(self):
        fd = os.open(self.path("counter"), os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        n = int(os.pread(fd, 20, 0) or b"0") + 1
        os.pwrite(fd, b"%d" % n, 0)
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
        self.counted += 1

    def fight(self):
        a, b = (self.path(f"shared-{self.rnd.randrange(5)}") for _ in range(2))
        try:
            what = self.rnd.randrange(8)
            if what == 0:
                with open(a, "ab") as f:
                    f.write(b"x" * 100)
            elif what == 1:
                os.unlink(a)
            elif what == 2:
                os.rename(a, b)
            elif what == 3:
                os.link(a, b)
            elif what == 4:
                open(a, "xb").close()
            elif what == 5:
                with open(a, "rb") as f:
                    # A cut that races with a read may show zeros: see the manual.
                    if set(f.read()) - set(b"x\0"):
                        raise AssertionError(f"{a}: foreign bytes")
            elif what == 6:
                os.listdir(self.top)
            else:
                os.truncate(a, self.rnd.randrange(500) // 100 * 0)
        except OSError as e:
            if e.errno not in FINE:
                raise

    def run(self, until):
        steps = [self.create, self.change, self.read, self.mkdir, self.symlink, self.rename, self.remove,
                 self.attributes, self.locked, self.fight]
        weights = [4, 5, 4, 1, 1, 3, 4, 2, 2, 8]
        n = 0
        while time.monotonic() < until:
            self.rnd.choices(steps, weights)[0]()
            n += 1
        return n


def hammer(top, seed, seconds, processes, out):
    pipes = []
    until = time.monotonic() + seconds
    for me in range(processes):
        r, w = os.pipe()
        if os.fork() == 0:
            own = Own(top, me, random.Random(seed * 1000 + me))
            try:
                n = own.run(until)
            except BaseException as e:              # tell the parent whatever it is
                print(f"process {me}, seed {seed}: {type(e).__name__}: {e}", flush=True)
                os._exit(1)
            with os.fdopen(w, "w") as f:
                json.dump([n, own.counted, own.model], f)
            os._exit(0)
        os.close(w)
        pipes.append(r)
    model, steps, bad = {"#counted": 0}, 0, False
    for r in pipes:
        with os.fdopen(r) as f:
            text = f.read()
        if not text:
            bad = True
            continue
        n, counted, part = json.loads(text)
        steps += n
        model["#counted"] += counted
        model.update(part)
    for _ in range(processes):
        bad |= os.wait()[1] != 0
    with open(out, "w") as f:
        json.dump(model, f)
    print(f"{steps} steps, {len(model)} names")
    sys.exit(1 if bad else 0)


def check(top, model):
    with open(model) as f:
        want = json.load(f)
    counted = want.pop("#counted")
    with open(os.path.join(top, "counter")) as f:
        got_counter = int(f.read())
    got = {}
    for base, dirs, files in os.walk(top):
        for n in dirs + files:
            path = os.path.join(base, n)
            rel = os.path.relpath(path, top)
            if rel == "counter" or rel.startswith("shared-"):
                continue
            if os.path.islink(path):
                got[rel] = ["l", os.readlink(path)]
            elif os.path.isdir(path):
                got[rel] = ["d"]
            else:
                with open(path, "rb") as f:
                    got[rel] = ["f", f.read().hex()]
    wrong = [p for p in sorted(set(want) | set(got)) if want.get(p) != got.get(p)]
    for p in wrong[:10]:
        print(f"{p}: wanted {str(want.get(p))[:80]}, is {str(got.get(p))[:80]}")
    if counted != got_counter:
        print(f"the counter under a lock: {got_counter}, {counted} were counted")
    sys.exit(1 if wrong or counted != got_counter else 0)


if sys.argv[1] == "--check":
    check(*sys.argv[2:4])
hammer(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
