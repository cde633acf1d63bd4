#!/usr/bin/env python3
"""Random changes through two mounts of a store, each recorded with the times
before and after it; then .versions/@TIME has to show what was there, at times
that are random: the state before a change or the one after it, where the change
was just going on.

usage: attime.py MOUNT OTHER VIEWER SEED CHANGES VIEWS ERROR

The first two must keep no names and attributes (entry_timeout and attr_timeout
0), since each change may go through another one than the last; the views are
looked at through the third.
ERROR: by how many microseconds the store's clock may differ from ours.
"""
import bisect
import ctypes
import os
import random
import stat
import sys
import time

MOUNTS = sys.argv[1:4]
SEED, CHANGES, VIEWS, ERROR_US = map(int, sys.argv[4:8])
ROOT = os.geteuid() == 0
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, EXCHANGE = -100, 2
rnd = random.Random(SEED)


class Node:
    """What has one inode number. Of directories, links and FIFOs only the last
    mode, owner and times are kept."""

    def __init__(self, kind, path, target=None):
        s = os.lstat(path)
        self.kind, self.data, self.target = kind, None, target
        self.mode, self.uid, self.gid, self.mtime = stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns


class Row:
    """A file's content under a name: mode, owner and mtime are those that the
    file had when the row ended, since chmod and the like make no version."""

    def __init__(self, node):
        self.node, self.kind, self.target = node, "f", None
        self.update()

    def update(self):
        n = self.node
        self.mode, self.uid, self.gid, self.mtime, self.data = n.mode, n.uid, n.gid, n.mtime, n.data


tree = {}               # path -> Row of a file, Node of anything else
states = [{}]           # before the first change, after it, after the second, ...
spans = []              # when each change began and ended, in microseconds
counts = {}
mount = 0


def now_us():
    return time.time_ns() // 1000


def full(path):
    return os.path.join(MOUNTS[mount], path)


def node_of(path):
    e = tree[path]
    return e.node if isinstance(e, Row) else e


def some(kinds):
    names = [p for p, e in tree.items() if e.kind in kinds]
    return rnd.choice(names) if names else None


def below(path):
    return [p for p in tree if p.startswith(path + "/")]


def fresh():
    """A name in some directory, perhaps one that is there."""
    parent = rnd.choice([""] + [p for p, e in tree.items() if e.kind == "d" and p.count("/") < 7])
    name = rnd.choice(["a", "b", "c.txt", "d.e", "f g", "é", "%2E", "x.y.z"])
    return f"{parent}/{name}" if parent else name


def new_rows(node, wrote):
    """After a change of the content, a row of each name; after one of the
    attributes, the rows of now have them."""
    node.mtime = os.lstat(full(next(p for p in tree if node_of(p) is node))).st_mtime_ns
    for p, e in tree.items():
        if isinstance(e, Row) and e.node is node:
            if wrote:
                tree[p] = Row(node)
            else:
                e.update()


def add(path, node):
    tree[path] = Row(node) if node.kind == "f" else node


def last_times(path):
    """Of a directory that another mount has just made, what was made in it may
    not have moved its times for others before they look into it."""
    if tree[path].kind == "d":
        os.listdir(full(path))
        tree[path].mtime = os.lstat(full(path)).st_mtime_ns


def look(*paths):
    """As mv does. Without it rename(2) fails with ESTALE, as over NFS, where
    another mount has just moved a directory: the kernel, which finds it at its
    new place under the locks of the rename, cannot move what it has then."""
    for path in paths:
        if os.path.lexists(full(path)) != (path in tree):
            sys.exit(f"seed {SEED}: {full(path)}: is it there?")


def move(pairs):
    """Rows end with their names; those at the new ones are others."""
    taken = [(new + p[len(old):], node_of(p), tree.pop(p)) for old, new in pairs for p in [old] + below(old)]
    for path, node, _ in taken:
        add(path, node)


def own_way(a, b):
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


# The changes: each says whether it was one.

def write():
    path = some("f") if rnd.random() < 0.4 else fresh()
    if not path or path in tree and tree[path].kind != "f":
        return False
    data = rnd.randbytes(rnd.randrange(1, 200))
    with open(full(path), "wb") as f:
        f.write(data)
    node = node_of(path) if path in tree else Node("f", full(path))
    node.data = data
    add(path, node)
    new_rows(node, True)
    return True


def append():
    path = some("f")
    if path:
        node, more = node_of(path), rnd.randbytes(rnd.randrange(1, 50))
        with open(full(path), "ab") as f:
            f.write(more)
        node.data += more
        new_rows(node, True)
    return path is not None


def truncate():
    path, size = some("f"), rnd.randrange(250)
    if not path or len(tree[path].data) == size:
        return False
    node = node_of(path)
    os.truncate(full(path), size)
    node.data = node.data[:size] + bytes(max(0, size - len(node.data)))
    new_rows(node, True)
    return True


def make(kind, call, target=None):
    path = fresh()
    if path in tree:
        return False
    call(full(path))
    tree[path] = Node(kind, full(path), target)
    return True


def mkdir():
    return make("d", os.mkdir)


def symlink():
    target = f"to-{len(spans)}"
    return make("l", lambda path: os.symlink(target, path), target)


def mkfifo():
    return make("p", lambda path: os.mkfifo(path, 0o640))


def link():
    old, new = some("f"), fresh()
    if not old or new in tree:
        return False
    os.link(full(old), full(new))
    add(new, node_of(old))
    return True


def unlink():
    path = some("flp")
    if path:
        os.unlink(full(path))
        del tree[path]
    return path is not None


def rmdir():
    empty = [p for p, e in tree.items() if e.kind == "d" and not below(p)]
    if not empty:
        return False
    path = rnd.choice(empty)
    last_times(path)
    os.rmdir(full(path))
    del tree[path]
    return True


def rename():
    old, new = some("fdlp"), fresh()
    if not old or own_way(old, new):
        return False
    if new in tree and ((tree[new].kind == "d") != (tree[old].kind == "d") or below(new) or
                        node_of(new) is node_of(old)):
        return False
    if new in tree:
        last_times(new)
    look(old, new)
    os.rename(full(old), full(new))
    tree.pop(new, None)
    move([(old, new)])
    return True


def exchange():
    a, b = some("fdlp"), some("fdlp")
    if not a or own_way(a, b) or node_of(a) is node_of(b):
        return False
    look(a, b)
    if LIBC.renameat2(AT_FDCWD, os.fsencode(full(a)), AT_FDCWD, os.fsencode(full(b)), EXCHANGE):
        raise OSError(ctypes.get_errno(), f"exchange of {a} and {b}")
    move([(a, b), (b, a)])
    return True


def attributes(call, kinds):
    """A change of mode, owner or times; the other mount sees a directory's when
    they are stored."""
    path = some(kinds)
    if not path:
        return False
    call(full(path), node_of(path))
    if tree[path].kind == "d":
        fd = os.open(full(path), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    new_rows(node_of(path), False)
    return True


def chmod():
    def call(path, node):
        modes = [0o600, 0o644, 0o755, 0o700, 0o444, 0o640] + ([0o2750, 0o1777] if node.kind == "d" else [])
        node.mode = rnd.choice(modes)
        os.chmod(path, node.mode)
    return attributes(call, "fdp")


def chown():
    def call(path, node):
        node.uid, node.gid = rnd.choice([(0, 0), (1001, 0), (1001, 2000), (1002, 2000)])
        os.lchown(path, node.uid, node.gid)
    return ROOT and attributes(call, "fdlp")


def utimes():
    def call(path, node):
        when = rnd.randrange(10**18, 2 * 10**18)
        os.utime(path, ns=(when, when), follow_symlinks=False)
    return attributes(call, "fdlp")


def rename_over():
    """A directory takes the place of an empty one."""
    empty = [p for p, e in tree.items() if e.kind == "d" and not below(p)]
    old, new = some("d"), rnd.choice(empty) if empty else None
    if not new or own_way(old, new):
        return False
    look(old, new)
    last_times(new)
    os.rename(full(old), full(new))
    del tree[new]
    move([(old, new)])
    return True


STEPS = {write: 6, append: 2, truncate: 2, mkdir: 4, symlink: 1, mkfifo: 1, link: 2, unlink: 3, rmdir: 1, rename: 4, rename_over: 1,
         exchange: 2, chmod: 2, chown: 1, utimes: 2}


def record():
    global mount
    os.umask(0o022)
    while len(spans) < CHANGES:
        mount = rnd.randrange(2)
        step = rnd.choices(list(STEPS), list(STEPS.values()))[0]
        before = now_us()
        if not step():
            continue
        spans.append((before, now_us() + 1))
        states.append(dict(tree))
        counts[step.__name__] = counts.get(step.__name__, 0) + 1
        time.sleep(rnd.random() * 0.004)


# What the views must show.

def both(own, now):
    """The manual: a version can be read by those whom both its own mode and that
    of today allow. own and now: (mode, uid, gid)."""
    limit = now[0] | (now[0] & 0o444) >> 2
    every = limit & limit >> 3 & limit >> 6 & 7
    if own[1] != now[1]:
        limit = every * 0o111
    elif own[2] != now[2]:
        limit = limit & 0o700 | every << 3 | every
    return own[0] & 0o777 & (limit | 0o222)


def told_of(e, living, now, at_us):
    """kind, mode, owner, mtime, content of an entry at a time, in the view of a
    directory whose attributes are now."""
    mode, mtime = e.mode, e.mtime
    node = e.node if isinstance(e, Row) else e
    if e.kind != "l":
        if node in living:
            mode = both((mode, e.uid, e.gid), (node.mode, node.uid, node.gid))
        mode = both((mode, e.uid, e.gid), now)
    if e.kind == "d":
        mode |= e.mode & 0o3000         # setgid and sticky, which allow nothing
        mtime = min(mtime, at_us * 1000)
    return e.kind, oct(mode), e.uid, e.gid, mtime, e.target if e.kind == "l" else e.data


def seen(path):
    s = os.lstat(path)
    kind = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}[stat.S_IFMT(s.st_mode)]
    data = None
    if kind == "f":
        with open(path, "rb") as f:
            data = f.read()
        if len(data) != s.st_size:
            sys.exit(f"{path}: size {s.st_size}, content of {len(data)}")
    if kind == "l":
        data = os.readlink(path)
    return kind, oct(stat.S_IMODE(s.st_mode)), s.st_uid, s.st_gid, s.st_mtime_ns, data


def snapshot(top, base=""):
    got = {}
    for name in os.listdir(os.path.join(top, base)):
        path = f"{base}/{name}" if base else name
        got[path] = seen(os.path.join(top, path))
        if got[path][0] == "d":
            got.update(snapshot(top, path))
    return got


def compare(what, wanted, got):
    """wanted: what it may be, the first of which is told when it is none."""
    if got in wanted:
        return
    if isinstance(got, str) or isinstance(wanted[0], str):
        sys.exit(f"seed {SEED}: {what}: wanted {wanted}, got {got}")
    for path in sorted(set(wanted[0]) | set(got)):
        if wanted[0].get(path) != got.get(path):
            print(f"seed {SEED}: {what}: {path!r}: wanted {wanted[0].get(path)}, got {got.get(path)}")
    sys.exit(1)


def states_at(at_us):
    first = bisect.bisect_left([end for _, end in spans], at_us - ERROR_US)
    last = bisect.bisect_right([begin for begin, _ in spans], at_us + ERROR_US)
    return states[first:last + 1]


def attr_now(path):
    s = os.stat(path)
    return s.st_mode & 0o7777, s.st_uid, s.st_gid


def view_of_root(at_us, living):
    now = attr_now(full(""))
    wanted = [{p: told_of(e, living, now, at_us) for p, e in s.items()} for s in states_at(at_us)]
    view = full(f".versions/@{at_us // 10**6}.{at_us % 10**6:06d}")
    compare(view, wanted, snapshot(view))
    # The same again where nothing was listed before.
    view = full(time.strftime(".versions/@%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // 10**6)) + f".{at_us % 10**6:06d}Z")
    paths = sorted({p for w in wanted for p in w})
    for path in rnd.sample(paths, min(3, len(paths))):
        compare(view, [{path: w.get(path)} for w in wanted],
                {path: seen(f"{view}/{path}") if os.path.lexists(f"{view}/{path}") else None})


def view_of_directory(path, at_us, living):
    """A directory's own .versions has it under the name of that time; where it
    was not yet, what directory was there."""
    now, wanted = attr_now(full(path)), []
    for s in states_at(at_us):
        was = [p for p, e in s.items() if e is tree[path]] or [path]
        if was[0] in s and s[was[0]].kind == "d":
            wanted.append({p[len(was[0]) + 1:]: told_of(e, living, now, at_us) for p, e in s.items()
                           if p.startswith(was[0] + "/")})
        else:
            wanted.append("no such directory")
    view = full(f"{path}/.versions/@{at_us // 10**6}.{at_us % 10**6:06d}")
    try:
        got = snapshot(view)
    except FileNotFoundError:
        got = "no such directory"
    compare(view, wanted, got)


began = time.monotonic()
record()
print(f"recorded in {time.monotonic() - began:.1f} s")
for path in [p for p, e in tree.items() if e.kind == "d"]:
    last_times(path)
living = {node_of(p) for p in tree}
plain = {p: (e.kind, oct(e.mode), e.uid, e.gid, e.mtime, e.target if e.kind == "l" else e.data)
         for p, e in tree.items()}
for mount in (0, 1, 2):
    compare("now", [plain], snapshot(full("")))
between = 0
for _ in range(VIEWS):
    at = rnd.randrange(spans[0][0], spans[-1][1])
    between += len(states_at(at)) > 1
    view_of_root(at, living)
    directories = [p for p, e in tree.items() if e.kind == "d"]
    for path in rnd.sample(directories, min(2, len(directories))):
        view_of_directory(path, at, living)
print(f"seed {SEED}: {len(spans)} changes, {VIEWS} views, {between} of them during a change: as recorded;",
      ", ".join(f"{k} {n}" for k, n in sorted(counts.items())))
# Of so many that are expected one happens.
often = [s for s, weight in STEPS.items() if weight * CHANGES / sum(STEPS.values()) >= 20 and (ROOT or s is not chown)]
never = [s.__name__ for s in often if s.__name__ not in counts]
if never:
    sys.exit(f"never done: {never}")
