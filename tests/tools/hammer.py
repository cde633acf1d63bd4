#!/usr/bin/env python3
"""Processes that do everything at once in one directory. Each has names of its
own, of which it knows exactly what they must be: content, mode, owner, times,
links, attributes, and what .versions has of them. For shared ones all fight
(hammer_shared.py), where only the errors that a disk could give are allowed.

usage: hammer.py DIRECTORY SEED SECONDS PROCESSES MODEL    hammers, writes MODEL
       hammer.py --check DIRECTORY MODEL                   compares

DIRECTORY may be on a disk; what is about .versions is left out there.
"""
import collections
import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import random
import stat
import sys
import time

import hammer_shared

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
# A disk takes its times from a clock that moves with each tick.
TICK = 20_000_000
# Who owns a file may read and write it, so that all may be done as anybody.
MODES = [0o600, 0o640, 0o644, 0o755, 0o666, 0o700, 0o777]
OWNERS = [(0, 0), (1001, 2000), (65534, 65534)]
XATTRS = ["user.a", "user.b", "user.c"]
# What takes more than a moment, or the view of another time could be too early.
SETTLED = 1.0
# In so many steps all of them happen.
ENOUGH = 3000


class Node:
    """A file, directory, link or FIFO: what stat and reading must tell."""

    def __init__(self, kind, mode, **more):
        self.kind, self.mode, self.xattr, self.data, self.target = kind, mode, {}, b"", None
        self.uid, self.gid, self.mtime, self.done = os.geteuid(), os.getegid(), None, 0
        self.vague = False              # its time may be one of before
        self.__dict__.update(more)

    def as_json(self, nlink):
        return {"kind": self.kind, "mode": self.mode, "uid": self.uid, "gid": self.gid, "nlink": nlink,
                "mtime": self.mtime, "data": self.data.hex(), "target": self.target,
                "xattr": {n: v.hex() for n, v in self.xattr.items()}}


def wrong(path, what, wanted, got):
    if wanted != got:
        raise AssertionError(f"{path}: {what}: wanted {str(wanted)[:80]}, is {str(got)[:80]}")


def kind_of(mode):
    return {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}.get(stat.S_IFMT(mode))


def xattrs_of(path):
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)
            if n.startswith("user.")}


class Own:
    """One process's names, and what it does with them."""

    def __init__(self, top, me, rnd):
        self.top, self.me, self.rnd = top, me, rnd
        self.names, self.moved, self.stored = {}, {}, {hashlib.sha1(b"").digest()}
        self.past = os.path.isdir(os.path.join(top, ".versions"))
        self.trail = collections.deque(maxlen=40)       # for who looks into a failure
        self.done, self.n = collections.Counter(), 0

    # -- names

    def path(self, name):
        return os.path.join(self.top, name)

    def fresh(self):
        self.n += 1
        parent = self.rnd.choice([""] + [p for p, e in self.names.items() if e.kind == "d" and p.count("/") < 3])
        return f"{parent}/{self.n}" if parent else f"p{self.me}-{self.n}"

    def some(self, kinds):
        names = [p for p, e in self.names.items() if e.kind in kinds]
        return self.rnd.choice(names) if names else None

    def below(self, name):
        return [p for p in self.names if p.startswith(name + "/")]

    def nlink(self, node):
        return sum(e is node for e in self.names.values())

    def changed_in(self, *names):
        """The directories of these names have another time now."""
        for name in names:
            parent = self.names.get(os.path.dirname(name))
            if parent:
                parent.mtime = None

    def add(self, name, node):
        self.names[name] = node
        self.moved[name] = time.time()
        self.changed_in(name)

    def take(self, name):
        self.changed_in(name)
        del self.moved[name]
        return self.names.pop(name)

    def move(self, pairs):
        """Each old name with all below it, to its new one, at once."""
        taken = [(new + p[len(old):], self.take(p)) for old, new in pairs for p in [old] + self.below(old)]
        for name, node in taken:
            self.names[name] = node
            self.moved[name] = time.time()
        self.changed_in(*[new for _, new in pairs])

    # -- what must be so

    def verify(self, name, changed=None):
        """stat of a name; changed is when a change of its content began, else
        its time is what it was."""
        node, s = self.names[name], os.lstat(self.path(name))
        node.done = time.time()
        wrong(name, "kind", node.kind, kind_of(s.st_mode))
        wrong(name, "mode", oct(node.mode), oct(stat.S_IMODE(s.st_mode)))
        wrong(name, "owner", (node.uid, node.gid), (s.st_uid, s.st_gid))
        if node.kind != "d":
            wrong(name, "links", self.nlink(node), s.st_nlink)
        if node.kind == "f":
            wrong(name, "size", len(node.data), s.st_size)
        if node.vague:
            node.mtime = changed = None
        if changed and not changed - TICK <= s.st_mtime_ns <= time.time_ns():
            raise AssertionError(f"{name}: changed at {changed}, mtime {s.st_mtime_ns}, before {node.mtime}")
        if not changed and node.mtime is not None:
            wrong(name, "mtime", node.mtime, s.st_mtime_ns)
        self.trail.append((name, s.st_mtime_ns))
        node.mtime = None if node.vague else s.st_mtime_ns

    def store(self, data):
        self.stored.add(hashlib.sha1(data).digest())

    # -- making

    def create(self):
        name, data, mode, began = self.fresh(), self.rnd.randbytes(self.rnd.randrange(0, 5000)), 0o644, time.time_ns()
        fd = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        os.write(fd, data)
        os.close(fd)
        self.store(data)
        self.add(name, Node("f", mode, data=data))
        self.verify(name, began)

    def mknod(self):
        name, kind, began = self.fresh(), self.rnd.choice("fp"), time.time_ns()
        os.mknod(self.path(name), 0o640 | (stat.S_IFREG if kind == "f" else stat.S_IFIFO))
        self.add(name, Node(kind, 0o640))
        self.verify(name, began)

    def mkdir(self):
        name = self.fresh()
        os.mkdir(self.path(name))
        self.add(name, Node("d", 0o755))

    def symlink(self):
        name = self.fresh()
        os.symlink(f"t{self.n}", self.path(name))
        self.add(name, Node("l", 0o777, target=f"t{self.n}"))
        self.verify(name)

    def link(self):
        old, new = self.some("fpl"), self.fresh()
        if old:
            os.link(self.path(old), self.path(new), follow_symlinks=False)
            self.add(new, self.names[old])
            self.verify(new)

    # -- content

    def change(self):
        name = self.some("f")
        if not name:
            return
        node, began = self.names[name], time.time_ns()
        flags = os.O_RDWR | self.rnd.choice([0, 0, 0, os.O_APPEND, os.O_DIRECT])
        fd = os.open(self.path(name), flags)
        data, mapped = bytearray(node.data), self.done["mapped"]
        for _ in range(self.rnd.randrange(1, 4)):
            data = self.change_once(fd, data, flags)
            if self.rnd.randrange(8) == 0:
                new = self.fresh()
                os.rename(self.path(name), self.path(new))
                self.move([(name, new)])
                name = new
        os.close(fd)
        changed, node.data = bytes(data) != node.data, bytes(data)
        self.store(node.data)
        # A write of what was there before moves the time, too. What is written
        # back from a mapping does, but a stat of somebody else's that was under
        # way then leaves the kernel with the time of before for a while.
        node.vague = self.done["mapped"] != mapped
        self.verify(name, began) if changed else setattr(node, "mtime", None)

    WAYS = ["pwrite", "truncate", "mapped", "fsync", "allocate", "copy_range", "direct_write", "append"]

    def change_once(self, fd, data, flags):
        how = "direct_write" if flags & os.O_DIRECT else "append" if flags & os.O_APPEND else \
            self.rnd.choice(self.WAYS[:-2])
        data = getattr(self, how)(fd, data)
        self.done[how] += 1
        self.trail.append((how, len(data)))
        if not flags & os.O_DIRECT:
            wrong("an open file", "content", bytes(data), os.pread(fd, len(data) + 10, 0))
        return data

    def pwrite(self, fd, data):
        off, piece = self.rnd.randrange(0, len(data) + 100), self.rnd.randbytes(self.rnd.randrange(1, 300))
        os.pwrite(fd, piece, off)
        data.extend(bytes(max(0, off + len(piece) - len(data))))
        data[off:off + len(piece)] = piece
        return data

    def append(self, fd, data):
        piece = self.rnd.randbytes(self.rnd.randrange(1, 300))
        os.write(fd, piece)
        return data + piece

    def truncate(self, fd, data):
        size = self.rnd.randrange(0, len(data) + 200)
        os.ftruncate(fd, size)
        return data[:size] + bytes(max(0, size - len(data)))

    def mapped(self, fd, data):
        if data:
            with mmap.mmap(fd, len(data)) as m:
                at = self.rnd.randrange(len(data))
                m[at:at + 1] = data[at:at + 1] = b"M"
            self.store(bytes(data))     # mmap() has, and closes, a descriptor of its own
        return data

    def fsync(self, fd, data):
        os.fsync(fd)
        self.store(bytes(data))
        return data

    def allocate(self, fd, data):
        mode = self.rnd.choice([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE])
        off, size = self.rnd.randrange(0, len(data) + 100), self.rnd.randrange(1, 1000)
        if LIBC.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(size)):
            raise OSError(ctypes.get_errno(), f"fallocate {mode}")
        end = len(data) if mode & KEEP_SIZE else max(len(data), off + size)
        data.extend(bytes(end - len(data)))
        if mode & (PUNCH_HOLE | ZERO_RANGE):
            data[off:off + size] = bytes(max(0, min(end, off + size) - off))
        return data

    def copy_range(self, fd, data):
        source = self.some("f")
        if self.names[source].data == bytes(data):      # perhaps this very file
            return data
        with open(self.path(source), "rb") as f:
            content = self.names[source].data
            at, size = self.rnd.randrange(len(content) + 1), self.rnd.randrange(1, 3000)
            off, piece = self.rnd.randrange(len(data) + 50), content[at:at + size]
            if os.fstat(f.fileno()).st_ino == os.fstat(fd).st_ino:
                return data
            left = len(piece)
            while left:
                n = os.copy_file_range(f.fileno(), fd, left, at + len(piece) - left, off + len(piece) - left)
                wrong(source, "bytes copied, more than none", True, n > 0)
                left -= n
        if piece:
            data.extend(bytes(max(0, off + len(piece) - len(data))))
            data[off:off + len(piece)] = piece
        return data

    def direct_write(self, fd, data):
        off, byte = 4096 * self.rnd.randrange(len(data) // 4096 + 2), self.rnd.randrange(1, 256)
        with mmap.mmap(-1, 4096) as page:
            page[:] = bytes([byte]) * 4096
            os.pwritev(fd, [page], off)
            data.extend(bytes(max(0, off + 4096 - len(data))))
            data[off:off + 4096] = page[:]
            n = os.preadv(fd, [page], off)
            wrong("O_DIRECT", "read back", data[off:off + 4096], page[:n])
        return data

    def read(self):
        name = self.some("f")
        if not name:
            return
        with open(self.path(name), "rb") as f:
            wrong(name, "content", self.names[name].data, f.read())
        wrong(name, "attributes", self.names[name].xattr, xattrs_of(self.path(name)))
        self.verify(name)

    # -- moving and removing

    def rename(self):
        old, new = self.some("fdlp"), self.fresh()
        if old and not new.startswith(old + "/"):
            flags = self.rnd.choice([0, hammer_shared.NOREPLACE])
            hammer_shared.rename2(self.path(old), self.path(new), flags)
            self.move([(old, new)])
            self.verify(new)

    def rename_over(self):
        old, new = self.some("fdlp"), self.some("fdlp")
        if not old or old == new or (self.names[old].kind == "d") != (self.names[new].kind == "d"):
            return
        try:
            hammer_shared.rename2(self.path(old), self.path(new), hammer_shared.NOREPLACE)
            raise AssertionError(f"{new}: NOREPLACE replaced it")
        except OSError as e:
            if e.errno != errno.EEXIST and not (e.errno == errno.EINVAL and new.startswith(old + "/")):
                raise
        if self.names[old].kind == "d" and (self.below(new) or new.startswith(old + "/")):
            return
        os.rename(self.path(old), self.path(new))
        if self.names[old] is not self.names[new]:      # else both names stay
            self.take(new)
            self.move([(old, new)])
        self.verify(new)

    def exchange(self):
        a, b = self.some("fdlp"), self.some("fdlp")
        if not a or a == b or a.startswith(b + "/") or b.startswith(a + "/"):
            return
        hammer_shared.rename2(self.path(a), self.path(b), hammer_shared.EXCHANGE)
        self.move([(a, b), (b, a)])
        self.verify(a)
        self.verify(b)

    def remove(self):
        leaves = [p for p, e in self.names.items() if e.kind != "d" or not self.below(p)]
        if len(leaves) < 20:
            return
        name = self.rnd.choice(leaves)
        (os.rmdir if self.names[name].kind == "d" else os.unlink)(self.path(name))
        node = self.take(name)
        others = [p for p, e in self.names.items() if e is node]
        if others:
            self.verify(others[0])

    # -- attributes

    def attributes(self):
        name = self.some("fdp")
        if not name:
            return
        node, path = self.names[name], self.path(name)
        node.mode = self.rnd.choice(MODES)
        os.chmod(path, node.mode)
        if os.geteuid() == 0:
            node.uid, node.gid = self.rnd.choice(OWNERS)
            os.chown(path, node.uid, node.gid)
        if self.rnd.randrange(2):
            node.mtime, node.vague = 1431080000123456789 + self.n, False
            os.utime(path, ns=(1, node.mtime))
        self.verify(name)

    def xattr(self):
        name = self.some("fd")
        if not name:
            return
        node, path, key = self.names[name], self.path(name), self.rnd.choice(XATTRS)
        if key in node.xattr and self.rnd.randrange(3) == 0:
            os.removexattr(path, key)
            del node.xattr[key]
        else:
            node.xattr[key] = self.rnd.randbytes(self.rnd.randrange(0, 40))
            os.setxattr(path, key, node.xattr[key])
        wrong(name, "attributes", node.xattr, xattrs_of(path))
        self.verify(name)

    # -- the past

    def versions(self):
        name = self.some("f")
        if not name or not self.past:
            return
        history = os.path.join(os.path.dirname(self.path(name)), ".versions", os.path.basename(name))
        try:
            entries = os.listdir(history)
        except FileNotFoundError:       # made by mknod, and never written
            wrong(name, "content of what has no version", b"", self.names[name].data)
            return
        self.done["of a history"] += 1
        path = os.path.join(history, self.rnd.choice(entries))
        with open(path, "rb") as f:
            data = f.read()
        if hashlib.sha1(data).digest() not in self.stored:
            raise AssertionError(f"{path}: {len(data)} bytes that were never stored")
        try:
            os.close(os.open(path, os.O_WRONLY))
            raise AssertionError(f"{path}: opened for writing")
        except OSError as e:
            wrong(path, "error of an open for writing", errno.EROFS, e.errno)

    def at_time(self):
        """What has not changed for a while is the same in the view of then."""
        name, now = self.some("fl"), time.time()
        if not name or not self.past or now - max(self.names[name].done, self.moved[name]) < SETTLED:
            return
        node, path = self.names[name], self.path(f".versions/@{now - SETTLED / 2:.6f}/{name}")
        if node.kind == "l":
            wrong(path, "target", node.target, os.readlink(path))
        else:
            with open(path, "rb") as f:
                wrong(path, "content", node.data, f.read())
        self.done["at a time"] += 1

    # -- with the others

    def flock(self):
        self.count("flock", lambda fd: fcntl.flock(fd, fcntl.LOCK_EX), lambda fd: fcntl.flock(fd, fcntl.LOCK_UN))

    def fcntl(self):
        self.count("fcntl", lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 100, 0),
                   lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN, 100, 0))

    def count(self, what, lock, unlock):
        fd = os.open(self.path(f"counter-{what}"), os.O_RDWR | os.O_CREAT, 0o644)
        lock(fd)
        n = int(os.pread(fd, 20, 0) or b"0") + 1
        os.pwrite(fd, b"%d" % n, 0)
        unlock(fd)
        os.close(fd)

    def fight(self):
        self.done.update(hammer_shared.fight(self.top, self.rnd))

    STEPS = {"create": 4, "mknod": 1, "mkdir": 1, "symlink": 1, "link": 2, "change": 6, "read": 4, "rename": 2,
             "rename_over": 1, "exchange": 1, "remove": 5, "attributes": 2, "xattr": 2, "versions": 2, "at_time": 1,
             "flock": 1, "fcntl": 1, "fight": 10}

    def run(self, until):
        names, weights = list(self.STEPS), list(self.STEPS.values())
        while time.monotonic() < until:
            step = self.rnd.choices(names, weights)[0]
            self.trail.append(step)
            getattr(self, step)()
            self.done[step] += 1

    def result(self):
        nodes = {id(e): e.as_json(self.nlink(e)) for e in self.names.values()}
        return {"done": self.done, "names": {p: f"{self.me}:{id(e)}" for p, e in self.names.items()},
                "nodes": {f"{self.me}:{i}": n for i, n in nodes.items()}}


def child(top, seed, me, until, pipe):
    own = Own(top, me, random.Random(seed * 1000 + me))
    try:
        own.run(until)
    except BaseException as e:              # tell the parent whatever it is
        line = e.__traceback__
        while line.tb_next:
            line = line.tb_next
        print(f"process {me}, seed {seed}: {type(e).__name__}: {e} (line {line.tb_lineno}),",
              f"after {list(own.trail)}", flush=True)
        os._exit(1)
    with os.fdopen(pipe, "w") as f:
        json.dump(own.result(), f)
    os._exit(0)


def hammer(top, seed, seconds, processes, out):
    pipes = []
    until = time.monotonic() + seconds
    os.umask(0o022)
    for me in range(processes):
        r, w = os.pipe()
        if os.fork() == 0:
            child(top, seed, me, until, w)
        os.close(w)
        pipes.append(r)
    model, done, bad = {"names": {}, "nodes": {}}, collections.Counter(), False
    for r in pipes:
        with os.fdopen(r) as f:
            text = f.read()
        if not text:
            bad = True
            continue
        part = json.loads(text)
        done.update(part["done"])
        model["names"].update(part["names"])
        model["nodes"].update(part["nodes"])
    for _ in range(processes):
        bad |= os.wait()[1] != 0
    model["counted"] = {k: done[k] for k in ("flock", "fcntl")}
    with open(out, "w") as f:
        json.dump(model, f)
    # What never happened has not been tried.
    past = os.path.isdir(os.path.join(top, ".versions"))
    wanted = [*Own.STEPS, *Own.WAYS] + (["of a history", "at a time"] if past and seconds >= 10 else [])
    steps = sum(done[s] for s in Own.STEPS)
    never = [s for s in wanted if not done[s] and steps >= ENOUGH] + hammer_shared.never(done, past)
    print(f"{steps} steps, {len(model['names'])} names;", hammer_shared.told(done))
    if never:
        print("never done:", *never)
    sys.exit(1 if bad or never else 0)


def is_now(path):
    s = os.lstat(path)
    e = {"kind": kind_of(s.st_mode), "mode": stat.S_IMODE(s.st_mode), "uid": s.st_uid, "gid": s.st_gid,
         "nlink": s.st_nlink, "mtime": s.st_mtime_ns, "data": "", "target": None, "xattr": {}}
    if e["kind"] == "f":
        with open(path, "rb") as f:
            e["data"] = f.read().hex()
    if e["kind"] == "l":
        e["target"] = os.readlink(path)
    if e["kind"] in "fd":
        e["xattr"] = {n: v.hex() for n, v in xattrs_of(path).items()}
    return e, s.st_ino


def differs(want, got):
    """What two descriptions of a name differ in."""
    if not want or not got:
        return ["whether it is there"]
    return [k for k in want if want[k] != got[k] and not (k == "nlink" and want["kind"] == "d") and
            not (k == "mtime" and want["mtime"] is None)]


def check(top, model):
    with open(model) as f:
        want = json.load(f)
    got, inodes, bad = {}, {}, 0
    for base, dirs, files in os.walk(top):
        for n in dirs + files:
            rel = os.path.relpath(os.path.join(base, n), top)
            if not rel.startswith(("counter-", "shared-")):
                got[rel], inodes[rel] = is_now(os.path.join(base, n))
    for p in sorted(set(want["names"]) | set(got)):
        wanted = want["nodes"].get(want["names"].get(p))
        for what in differs(wanted, got.get(p)):
            bad += 1
            if bad > 20:
                sys.exit("and more")
            print(f"{p}: {what}: wanted {str(wanted and wanted.get(what))[:80]},",
                  f"is {str(got.get(p) and got[p].get(what))[:80]}")
    # Names of one file, and only those, have one inode number.
    same = {(want["names"].get(p), i) for p, i in inodes.items()}
    if not bad and (len(same) != len({n for n, _ in same}) or len(same) != len({i for _, i in same})):
        bad = 1
        print("the hard links are others")
    for what, n in want["counted"].items():
        with open(os.path.join(top, f"counter-{what}")) as f:
            is_counted = int(f.read())
        if is_counted != n:
            bad = 1
            print(f"the counter under {what}: {is_counted}, {n} were counted")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(*sys.argv[2:4])
    hammer(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
