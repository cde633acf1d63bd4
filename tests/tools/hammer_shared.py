"""The names for which the processes of hammer.py fight: files, directories and
FIFOs that any of them makes, moves, exchanges and removes at any time. What is
there nobody knows; but each call may only fail as it could on a disk, and no
file ever has a byte that nobody wrote.
"""
import collections
import ctypes
import errno
import mmap
import os
import stat
import time

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2

GONE = {errno.ENOENT}
THERE = {errno.EEXIST}
FULL = {errno.ENOTEMPTY}


def rename2(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err), old, None, new)


def only(data, what):
    # A cut that races with a read may show zeros: see the manual.
    if set(data) - set(b"x\0"):
        raise AssertionError(f"{what}: foreign bytes {bytes(set(data))[:20]}")


class Opened:
    """open(2), and close(2) at the end, whose error counts as well."""

    def __init__(self, path, flags, mode=0o644):
        self.fd = os.open(path, flags, mode)

    def __enter__(self):
        return self.fd

    def __exit__(self, *error):
        os.close(self.fd)


# Files: each function has two names, a random number generator, the directory.

def append(a, b, rnd, top):
    with Opened(a, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
        os.write(fd, b"x" * 100)


def unlink(a, b, rnd, top):
    os.unlink(a)


def rename(a, b, rnd, top):
    os.rename(a, b)


def noreplace(a, b, rnd, top):
    rename2(a, b, NOREPLACE)


def exchange(a, b, rnd, top):
    rename2(a, b, EXCHANGE)


def link(a, b, rnd, top):
    os.link(a, b)


def exclusive(a, b, rnd, top):
    with Opened(a, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
        pass


def node(a, b, rnd, top):
    os.mknod(a, 0o644 | stat.S_IFREG)


def read(a, b, rnd, top):
    with open(a, "rb") as f:
        only(f.read(), a)


def listing(a, b, rnd, top):
    os.listdir(top)


def cut(a, b, rnd, top):
    os.truncate(a, rnd.randrange(500))


def empty(a, b, rnd, top):
    with Opened(a, os.O_WRONLY | os.O_TRUNC) as fd:
        os.write(fd, b"x")


def allocate(a, b, rnd, top):
    with Opened(a, os.O_RDWR) as fd:
        mode = rnd.choice([0, 1, 3, 16])
        if LIBC.fallocate(fd, mode, ctypes.c_long(rnd.randrange(500)), ctypes.c_long(rnd.randrange(1, 500))):
            err = ctypes.get_errno()
            raise OSError(err, os.strerror(err), a)


def copy(a, b, rnd, top):
    # The ranges do not overlap, should both names be of one file.
    with Opened(a, os.O_RDONLY) as src, Opened(b, os.O_RDWR) as dst:
        os.copy_file_range(src, dst, 100, 0, 200)


def direct(a, b, rnd, top):
    with Opened(a, os.O_RDWR | os.O_DIRECT) as fd, mmap.mmap(-1, 4096) as page:
        n = os.preadv(fd, [page], 0)
        only(page[:n], a)
        page[:] = b"x" * 4096
        os.pwritev(fd, [page], 4096 * rnd.randrange(2))


def mode(a, b, rnd, top):
    os.chmod(a, rnd.choice([0o600, 0o644, 0o666]))


def times(a, b, rnd, top):
    os.utime(a, ns=(1, 1431080000123456789))


def set_xattr(a, b, rnd, top):
    os.setxattr(a, "user.x", b"x" * rnd.randrange(20))


def get_xattr(a, b, rnd, top):
    only(os.getxattr(a, "user.x"), a + ": user.x")


def remove_xattr(a, b, rnd, top):
    os.removexattr(a, "user.x")


def history(a, b, rnd, top):
    past = os.path.join(top, ".versions", os.path.basename(a))
    for entry in os.listdir(past)[-3:]:
        with open(os.path.join(past, entry), "rb") as f:
            only(f.read(), f"{past}/{entry}")


def view(a, b, rnd, top):
    past = os.path.join(top, ".versions", f"@{time.time() - rnd.random() * 5:.6f}")
    os.listdir(past)
    with open(os.path.join(past, os.path.basename(a)), "rb") as f:
        only(f.read(), f"{past}: {a}")


# Directories.

def make_dir(a, b, rnd, top):
    os.mkdir(a)


def remove_dir(a, b, rnd, top):
    os.rmdir(a)


def file_in(a, b, rnd, top):
    with Opened(a + "/f", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"x")


def unlink_in(a, b, rnd, top):
    os.unlink(a + "/f")


def move_in(a, b, rnd, top):
    os.rename(a + "/f", b + "/f")


def list_dir(a, b, rnd, top):
    os.listdir(a)


# FIFOs.

def fifo(a, b, rnd, top):
    os.mkfifo(a)


def look(a, b, rnd, top):
    if not stat.S_ISFIFO(os.lstat(a).st_mode):
        raise AssertionError(f"{a}: no FIFO")
    with Opened(a, os.O_RDONLY | os.O_NONBLOCK):
        pass


MOVES = [(unlink, 1, GONE), (rename, 1, GONE), (noreplace, 1, GONE | THERE), (exchange, 1, GONE),
         (link, 1, GONE | THERE)]
# (names, how many, how often, [(what, how often, errors of a disk)])
KINDS = [
    ("shared-f", 5, 8, MOVES + [
        (append, 3, set()), (exclusive, 1, THERE), (node, 1, THERE), (read, 2, GONE), (listing, 1, set()),
        (cut, 1, GONE), (empty, 1, GONE), (allocate, 1, GONE), (copy, 1, GONE), (direct, 1, GONE), (mode, 1, GONE),
        (times, 1, GONE), (set_xattr, 2, GONE), (get_xattr, 1, GONE | {errno.ENODATA}),
        (remove_xattr, 1, GONE | {errno.ENODATA})]),
    ("shared-d", 3, 4, [
        (make_dir, 3, THERE), (remove_dir, 1, GONE | FULL), (rename, 1, GONE | FULL), (noreplace, 1, GONE | THERE),
        (exchange, 1, GONE), (file_in, 3, GONE), (unlink_in, 2, GONE), (move_in, 1, GONE), (list_dir, 1, GONE)]),
    ("shared-p", 2, 2, MOVES + [(fifo, 4, THERE), (look, 2, GONE)]),
]
PAST = [(history, 1, GONE), (view, 1, GONE)]


def steps_of(kind, past):
    return kind[3] + (PAST if past and kind[0] == "shared-f" else [])


def never(done, past):
    """What was to happen 40 times and was never tried, or was tried 200 times
    and never done."""
    tried, missing = collections.Counter(), []
    for key, n in done.items():
        tried[key.split("/")[0]] += n
    for kind in KINDS:
        steps = steps_of(kind, past)
        for what, often, _ in steps:
            key = f"{kind[0][-1]}:{what.__name__}"
            expected = done["fight"] * kind[2] / sum(k[2] for k in KINDS) * often / sum(s[1] for s in steps)
            if expected >= 40 and not tried[key] or tried[key] >= 200 and not done[key]:
                missing.append(key)
    return missing


def told(done):
    """What happened, in a line."""
    return ", ".join(f"{k} {done[k]}" for k in sorted(done))


def fight(top, rnd):
    """Does one thing; what it was, and the error."""
    kind = rnd.choices(KINDS, [k[2] for k in KINDS])[0]
    prefix, names = kind[:2]
    steps = steps_of(kind, os.path.isdir(os.path.join(top, ".versions")))
    what, _, fine = rnd.choices(steps, [s[1] for s in steps])[0]
    a, b = (os.path.join(top, f"{prefix}{rnd.randrange(names)}") for _ in range(2))
    key = f"{prefix[-1]}:{what.__name__}"
    try:
        what(a, b, rnd, top)
    except OSError as e:
        if e.errno not in fine:
            raise
        key += f"/{errno.errorcode[e.errno]}"
    return collections.Counter([key])
