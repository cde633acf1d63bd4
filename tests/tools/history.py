#!/usr/bin/env python3
"""Random programs on several mounts of one store, and a check of the history.

    history.py run [--believe S] SEED STEPS DIR...
                                         DIR: one directory, seen by each mount
    history.py check FILE                a history that was recorded before

Every mount has a writer and a reader. A step lets some of them make one call
each at the same time and waits for all; what the calls answered goes into the
history. The check keeps the set of all states that some order of the calls of
each step explains: when it becomes empty, the history is one that no single
filesystem could have had. That is close-to-open consistency (a read answers
what was committed under the name at some moment between open and the answer;
while that file is being closed, the beginning of one version and the end of the
other, or the new one with zeros to where the old one ended, as on NFS, and
nothing else that is in neither; while the same host takes its
name away, it may be cut short), atomic rename and unlink, and exclusive create
and mkdir, over all mounts.

ESTALE is an answer, as on NFS: to an open while another host takes the name
away, and to a close when the file has no name left, whoever took the last.

What a kernel has in its cache of names it believes for S seconds (mount.
entry_timeout; default 0), as the manual says: a name that another host took
away may still be EEXIST to a creation, and a file that another host renamed may
pass for two links of itself, so that renaming it once more does nothing.
open() never believes it.

The programs, and which calls of a step overlap, come from the seed.
"""
import errno
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time

FILES = ["a", "b", "c", "sub/d", "sub/e"]
DIRS = ["x", "sub/y"]
MIXED = 0               # a content that several hosts have written
RAW = "bytes "          # before what a read answered that is no whole content


def body(token, length):
    out = hashlib.sha256(token.encode()).hexdigest()
    return (token + ":" + str(length) + ":" + out * (length // 64 + 1)).encode()


def recognise(data):
    """The token of a whole content, "" for an empty file, else its bytes."""
    if not data:
        return ""
    try:
        token, length, _ = data.split(b":", 2)
        if body(token.decode(), int(length)) == data:
            return token.decode()
    except (ValueError, UnicodeDecodeError):
        pass
    return RAW + data.hex()


# ---- the workers: one process each, one call at a time


class Worker:
    def __init__(self, top):
        self.top = top
        self.fd = None

    def call(self, op):
        name, args = op[0], op[1:]
        try:
            return ["ok", getattr(self, name)(*args)]
        except OSError as e:
            return [errno.errorcode.get(e.errno, str(e.errno)), None]

    def path(self, p):
        return os.path.join(self.top, p)

    def openw(self, p):
        self.fd = os.open(self.path(p), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def excl(self, p):
        self.fd = os.open(self.path(p), os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def close(self, token, length):
        fd, self.fd = self.fd, None
        data = body(token, length)
        half = len(data) // 2
        try:
            os.write(fd, data[:half])
            os.write(fd, data[half:])
        finally:
            os.close(fd)

    def read(self, p):
        fd = os.open(self.path(p), os.O_RDONLY)
        try:
            return recognise(os.read(fd, 1 << 20))
        finally:
            os.close(fd)

    def rename(self, a, b):
        os.rename(self.path(a), self.path(b))

    def unlink(self, p):
        os.unlink(self.path(p))

    def mkdir(self, p):
        os.mkdir(self.path(p))

    def rmdir(self, p):
        os.rmdir(self.path(p))


def serve(pipe, top):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(top)
    while True:
        op = pipe.recv()
        if op is None:
            return
        pipe.send(worker.call(op))


# ---- the program


def next_op(rng, who, holding, number):
    """The next call of a worker; who: (mount, writes)."""
    if not who[1]:
        return ["read", rng.choice(FILES)]
    if holding and rng.random() < 0.6:
        return ["close", "t%d" % number, rng.choice([10, 700, 20000])]
    kinds = ["read", "read", "rename", "unlink", "mkdir", "rmdir"]
    if not holding:
        kinds += ["openw"] * 6 + ["excl"] * 2
    kind = rng.choice(kinds)
    if kind in ("mkdir", "rmdir"):
        return [kind, rng.choice(DIRS)]
    if kind == "rename":
        return [kind] + rng.sample(FILES, 2)
    return [kind, rng.choice(FILES)]


def run(seed, steps, tops):
    rng = random.Random(seed)
    who = [(m, w) for m in range(len(tops)) for w in (True, False)]
    pipes, procs = [], []
    for m, _ in who:
        ours, theirs = multiprocessing.Pipe()
        proc = multiprocessing.Process(target=serve, args=(theirs, tops[m]))
        proc.start()
        pipes.append(ours)
        procs.append(proc)
    holding = [False] * len(who)
    history, times = [], []
    number = 0
    for _ in range(steps):
        some = rng.sample(range(len(who)), rng.choice([1, 1, 1, 2, 2, 3, 4])
                          if len(who) >= 4 else 1)
        step = []
        for i in some:
            number += 1
            step.append([i, next_op(rng, who[i], holding[i], number), None])
        times.append(time.monotonic())
        for i, op, _ in step:
            pipes[i].send(op)
        for entry in step:
            i, op, _ = entry
            entry[2] = pipes[i].recv()
            if op[0] in ("openw", "excl"):
                holding[i] = entry[2][0] == "ok"
            elif op[0] == "close":
                holding[i] = False
        history.append(step)
    number += 1
    for i, h in enumerate(holding):         # everything is stored in the end
        if h:
            op = ["close", "end%d" % i, 10]
            pipes[i].send(op)
            history.append([[i, op, pipes[i].recv()]])
    for p in FILES:                         # and every mount has to see it
        for i in range(len(who)):
            op = ["read", p]
            pipes[i].send(op)
            history.append([[i, op, pipes[i].recv()]])
    for pipe, proc in zip(pipes, procs):
        pipe.send(None)
        proc.join()
    return {"seed": seed, "who": who, "steps": history, "times": times}


# ---- the model: names (path -> inode), contents, and what writers hold


class State:
    __slots__ = ("names", "contents", "held", "gone", "over", "fresh")

    def __init__(self, names, contents, held, gone, over, fresh):
        self.names, self.contents = names, contents
        self.held, self.fresh = held, fresh
        self.gone = gone        # path -> when it was taken away, its inode
        self.over = over        # writers that made their file

    def key(self):
        """Equal for states that differ in the numbers of inodes only."""
        order = {}
        for _, n in sorted(self.names.items()) + sorted(self.held.items()):
            order.setdefault(n, len(order))
        return (tuple((p, order[n]) for p, n in sorted(self.names.items())),
                tuple((w, order[n]) for w, n in sorted(self.held.items())),
                tuple(self.contents.get(n) for n in order),
                tuple(sorted(self.over)),
                tuple((p, t, order.get(n)) for p, (t, n) in
                      sorted(self.gone.items())))

    def copy(self):
        return State(dict(self.names), dict(self.contents), dict(self.held),
                     dict(self.gone), set(self.over), self.fresh)


def end(s, p, now):
    inode = s.names.pop(p)
    s.gone[p] = (now, inode)
    return inode


def spliced(data, first, second):
    """Is data the beginning of first and what follows there in second?"""
    n = len(os.path.commonprefix([data, first]))
    return len(data) <= max(len(first), len(second)) and \
        data[n:] == second[n:len(data)]


class Beliefs:
    """What the kernels may take for true at the time of a step."""

    def __init__(self, history, seconds, number):
        times = history["times"]
        self.seconds = seconds
        self.now = times[min(number, len(times) - 1)]
        self.closing = [(op[1], op[2]) for _, op, answer in
                        history["steps"][number] if op[0] == "close"]
        self.lengths = history["lengths"]
        self.who = history["who"]
        self.taking = {(self.who[w][0], p) for w, op, _ in
                       history["steps"][number]
                       if op[0] in ("rename", "unlink") for p in op[1:]}
        self.moved = set()              # mounts that changed names lately
        while seconds and number >= 0:
            if self.now - times[min(number, len(times) - 1)] > seconds:
                break
            for w, op, answer in history["steps"][number]:
                if op[0] in ("rename", "unlink") and answer[0] == "ok":
                    self.moved.add(history["who"][w][0])
            number -= 1

    def torn(self, content, value):
        """Of the version that was there and one that is just being closed?"""
        data = bytes.fromhex(value[len(RAW):])
        old = body(content, self.lengths[content]) if content else b""
        return any(spliced(data, old, new) or spliced(data, new, old) or
                   data == new.ljust(len(old), b"\0")
                   for new in (body(*c) for c in self.closing))

    def cut(self, worker, p, content, value):
        """A kernel that takes the name away meanwhile does not take a new size
        for the file, and ends the read where the file had ended before."""
        return (self.who[worker][0], p) in self.taking and \
            content and body(content, self.lengths[content]).startswith(
                bytes.fromhex(value[len(RAW):]) if value else b"")

    def lost(self, worker, p):
        """Another host takes the name away while it is opened."""
        mount = self.who[worker][0]
        return any(q == p and m != mount for m, q in self.taking)

    def exists(self, s, p):
        return p in s.gone and self.now - s.gone[p][0] < self.seconds

    def same_file(self, mount):
        return bool(self.moved - {mount})


def make(s, p, content):
    s.fresh += 1
    s.names[p] = s.fresh
    s.contents[s.fresh] = content


def linked(s, inode):
    return inode in s.names.values()


def apply(state, worker, op, answer, torn_ok, beliefs):
    """The state after a call, or None where it cannot have answered that."""
    s = state.copy()
    kind, code, value = op[0], answer[0], answer[1]
    p = op[1]
    there = p in s.names
    if code == "ESTALE" and kind in ("openw", "read"):
        return s if beliefs.lost(worker, p) else None
    if kind == "openw":
        if code != "ok":
            return None
        if not there:
            make(s, p, "")
        s.held[worker] = s.names[p]
    elif kind == "excl":
        if code == "EEXIST":
            return s if there or beliefs.exists(s, p) else None
        if code != "ok" or there:
            return None
        make(s, p, "")
        s.held[worker] = s.names[p]
        s.over.add(worker)
    elif kind == "close":
        inode = s.held.pop(worker)
        over = worker in s.over
        s.over.discard(worker)
        if code == "ok" and linked(s, inode):
            # Not truncated: it goes over what another host has written.
            s.contents[inode] = MIXED if over and s.contents[inode] else p
        elif code not in ("ok", "ESTALE") or \
                code == "ESTALE" and linked(s, inode):
            return None
    elif kind == "read":
        if code == "ENOENT":
            return None if there else s
        if code != "ok" or not there:
            return None
        content = s.contents[s.names[p]]
        if content in (value, MIXED) or torn_ok:
            return s
        whole = value and not value.startswith(RAW)
        if whole or not (beliefs.cut(worker, p, content, value) or
                         value and beliefs.torn(content, value)):
            return None
    elif kind == "rename":
        if code == "ENOENT":
            return None if there else s
        if code != "ok" or not there:
            return None
        s.names[op[2]] = end(s, p, beliefs.now)
    elif kind == "unlink":
        if code == "ENOENT":
            return None if there else s
        if code != "ok" or not there:
            return None
        end(s, p, beliefs.now)
    elif kind == "mkdir":
        if code == "EEXIST":
            return s if there or beliefs.exists(s, p) else None
        if code != "ok" or there:
            return None
        make(s, p, "dir")
    elif kind == "rmdir":
        if code == "ENOENT":
            return None if there else s
        if code != "ok" or not there:
            return None
        end(s, p, beliefs.now)
    return s


def after(state, step, idle, order, local, beliefs):
    for k in order:
        worker, op, answer = step[k]
        if k in idle:
            continue
        state = apply(state, worker, op, answer, local[k], beliefs)
        if state is None:
            return None
    return state


def subsets(items):
    for n in range(len(items) + 1):
        yield from (set(c) for c in itertools.combinations(items, n))


def shares(history, holding, step):
    """Reads on a mount that has a file open for writing see its bytes."""
    who = history["who"]
    busy = {who[w][0] for w in holding}
    busy |= {who[w][0] for w, op, _ in step
             if op[0] in ("openw", "excl", "close")}
    return [op[0] == "read" and who[w][0] in busy for w, op, _ in step]


def check(history, believe):
    """None, or the number of the step that nothing explains."""
    states = {None: State({}, {}, {}, {}, set(), 0)}
    history["lengths"] = {op[1]: op[2] for step in history["steps"]
                          for _, op, _ in step if op[0] == "close"}
    holding = set()
    for number, step in enumerate(history["steps"]):
        local = shares(history, holding, step)
        beliefs = Beliefs(history, believe, number)
        # Renames that a kernel may have answered by itself, doing nothing.
        void = [k for k, (w, op, answer) in enumerate(step)
                if op[0] == "rename" and answer[0] == "ok" and
                beliefs.same_file(history["who"][w][0])]
        result = {}
        for state in states.values():
            for order in itertools.permutations(range(len(step))):
                for idle in subsets(void):
                    s = after(state, step, idle, order, local, beliefs)
                    if s is not None:
                        result[s.key()] = s
        if not result:
            return number
        states = result
        for w, op, answer in step:
            if op[0] in ("openw", "excl") and answer[0] == "ok":
                holding.add(w)
            elif op[0] == "close":
                holding.discard(w)
    return None


def explain(history, number):
    who = history["who"]
    for n in range(max(0, number - 12), number + 1):
        for w, op, answer in history["steps"][n]:
            mount, writes = who[w]
            print("%s step %d, mount %d %s: %s -> %s" % (
                ">>" if n == number else "  ", n, mount,
                "writer" if writes else "reader", " ".join(map(str, op)),
                " ".join(str(x)[:60] for x in answer if x is not None)))


def main(argv):
    believe = 0
    if len(argv) >= 2 and "--believe" in argv[:2]:
        at = argv.index("--believe")
        believe = float(argv[at + 1])
        argv = argv[:at] + argv[at + 2:]
    if len(argv) >= 4 and argv[0] == "run":
        for top in argv[3:4]:
            os.makedirs(os.path.join(top, "sub"), exist_ok=True)
        for top in argv[4:]:                # as the other mounts see it
            os.listdir(os.path.join(top, "sub"))
        history = run(int(argv[1]), int(argv[2]), argv[3:])
    elif len(argv) == 2 and argv[0] == "check":
        with open(argv[1]) as f:
            history = json.load(f)
    else:
        sys.exit(__doc__)
    number = check(history, believe)
    if number is None:
        print("seed %s: %d steps explained" % (history["seed"],
                                               len(history["steps"])))
        return 0
    print("seed %s: no order of calls explains step %d" % (history["seed"],
                                                           number))
    explain(history, number)
    if argv[0] == "run":
        name = "history-%s.json" % history["seed"]
        with open(name, "w") as f:
            json.dump(history, f)
        print("recorded in %s; history.py check %s looks at it again" %
              (name, name))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
