#!/usr/bin/env python3
"""Random programs on several mounts of one store, and a check of the history.

    history.py run [--believe S] SEED STEPS DIR...
                                         DIR: one directory, seen by each mount
    history.py check FILE                a history that was recorded before
    history.py selftest                  histories that nothing may explain

Every mount has a writer and a reader. A step lets some of them make one call
each at the same time and waits for all; what the calls answered goes into the
history. The check keeps the set of all states that some order of the calls of
each step explains: when it becomes empty, the history is one that no single
filesystem could have had. That is close-to-open consistency (a read answers
what was committed under the name at some moment between open and the answer;
while that file is being closed, the beginning of one version and the end of the
other, or the new one with zeros to where the old one ended, as on NFS, and
nothing else that is in neither; while the same host takes its name away, it may
be cut short; while it empties the file, zeros), atomic rename and unlink, and
exclusive create and mkdir, over all mounts. On the mount of a writer that has
this very file open a read may find it emptied, or what is being written there.
A writer that made its file and did not empty it goes over what others have
stored meanwhile: their bytes stay behind its own.

ESTALE is an answer, as on NFS: to an open while another host takes the name
away, and to a close when the file has no name left, whoever took the last.

What a kernel has in its cache of names it believes for S seconds (mount.
entry_timeout; default 0), as the manual says: a name that another host took
away may still be EEXIST to a creation, and a file that another host renamed may
pass for two links of itself, so that renaming it once more does nothing (that
too when it is moved between the look-ups of the two names).
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


def answered(value, lengths):
    """The bytes that a read's answer in the history stands for."""
    if value.startswith(RAW):
        return bytes.fromhex(value[len(RAW):])
    return body(value, lengths[value]) if value else b""


class Beliefs:
    """What the kernels may take for true at the time of a step."""

    def __init__(self, history, seconds, number):
        times = history["times"]
        self.seconds = seconds
        self.now = times[min(number, len(times) - 1)]
        self.closing = [(w, body(op[1], op[2])) for w, op, _ in
                        history["steps"][number] if op[0] == "close"]
        self.opening = [(w, op[1]) for w, op, _ in history["steps"][number]
                        if op[0] in ("openw", "excl")]
        self.renames = any(op[0] == "rename" for _, op, _ in
                           history["steps"][number])
        self.lengths = history["lengths"]
        self.who = history["who"]
        self.taking = {(self.who[w][0], p) for w, op, _ in
                       history["steps"][number]
                       if op[0] in ("rename", "unlink") for p in op[1:]}
        self.moved = set()      # mounts that change names, or did so lately
        last = number
        while number >= 0:
            if number < last and (not seconds or self.now - times[min(
                    number, len(times) - 1)] > seconds):
                break
            for w, op, answer in history["steps"][number]:
                if op[0] in ("rename", "unlink") and answer[0] == "ok":
                    self.moved.add(history["who"][w][0])
            number -= 1

    def torn(self, held, inode, content, data):
        """Of the version that was there and one that is just being closed?"""
        return any(spliced(data, content, new) or spliced(data, new, content) or
                   data == new.ljust(len(content), b"\0")
                   for w, new in self.closing if held.get(w) == inode)

    def emptied(self, held, worker, p, inode):
        """Has a writer of this mount the file open, or may it have by now?"""
        mount = self.who[worker][0]
        return any(self.who[w][0] == mount for w, n in held.items()
                   if n == inode) or \
            any(self.who[w][0] == mount and (q == p or self.renames)
                for w, q in self.opening)

    def cut(self, worker, p, content, data):
        """A kernel that takes the name away meanwhile does not take a new size
        for the file, and ends the read where the file had ended before. And one
        that empties the file meanwhile ends it where it has come to."""
        mount = self.who[worker][0]
        return ((mount, p) in self.taking or
                any(self.who[w][0] == mount and q == p
                    for w, q in self.opening)) and content.startswith(data)

    def zeroed(self, worker, p, content, data):
        """While one of this kernel's empties the file, a read may show zeros in
        place of what is cut, as the manual says."""
        mount = self.who[worker][0]
        longest = max([len(content)] + [len(new) for _, new in self.closing])
        return not data.strip(b"\0") and len(data) <= longest and any(
            self.who[w][0] == mount and q == p for w, q in self.opening)

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


def read_ok(s, before, worker, p, value, beliefs):
    """Can a read of p have answered that? before: who held what then."""
    inode = s.names[p]
    content, data = s.contents[inode], answered(value, beliefs.lengths)
    if content == data:
        return True
    held = {**before, **s.held}
    return beliefs.torn(held, inode, content, data) or \
        beliefs.cut(worker, p, content, data) or \
        beliefs.zeroed(worker, p, content, data) or \
        not data and beliefs.emptied(held, worker, p, inode)


def apply(state, worker, op, answer, before, beliefs):
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
            make(s, p, b"")
        s.held[worker] = s.names[p]
    elif kind == "excl":
        if code == "EEXIST":
            return s if there or beliefs.exists(s, p) else None
        if code != "ok" or there:
            return None
        make(s, p, b"")
        s.held[worker] = s.names[p]
        s.over.add(worker)
    elif kind == "close":
        inode = s.held.pop(worker)
        over = worker in s.over
        s.over.discard(worker)
        if code == "ok" and linked(s, inode):
            new = body(p, op[2])
            # Not truncated: it goes over what another host has written.
            s.contents[inode] = new + s.contents[inode][len(new):] \
                if over else new
        elif code not in ("ok", "ESTALE") or \
                code == "ESTALE" and linked(s, inode):
            return None
    elif kind == "read":
        if code == "ENOENT":
            return None if there else s
        if code != "ok" or not there:
            return None
        if not read_ok(s, before, worker, p, value, beliefs):
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


def after(state, step, idle, order, beliefs):
    before = state.held
    for k in order:
        worker, op, answer = step[k]
        if k in idle:
            continue
        state = apply(state, worker, op, answer, before, beliefs)
        if state is None:
            return None
    return state


def subsets(items):
    for n in range(len(items) + 1):
        yield from (set(c) for c in itertools.combinations(items, n))


def check(history, believe):
    """None, or the number of the step that nothing explains."""
    states = {None: State({}, {}, {}, {}, set(), 0)}
    history["lengths"] = {op[1]: op[2] for step in history["steps"]
                          for _, op, _ in step if op[0] == "close"}
    for number, step in enumerate(history["steps"]):
        beliefs = Beliefs(history, believe, number)
        # Renames that a kernel may have answered by itself, doing nothing.
        void = [k for k, (w, op, answer) in enumerate(step)
                if op[0] == "rename" and answer[0] == "ok" and
                beliefs.same_file(history["who"][w][0])]
        result = {}
        for state in states.values():
            for order in itertools.permutations(range(len(step))):
                for idle in subsets(void):
                    s = after(state, step, idle, order, beliefs)
                    if s is not None:
                        result[s.key()] = s
        if not result:
            return number
        states = result
    return None


# ---- what the check has to find, and what it may not call wrong

W0, R0, W1, R1 = range(4)       # the writer and the reader of each of two mounts
OK = ["ok", None]
T1, T2 = ["close", "t1", 700], ["close", "t2", 10]
STORED = [[W0, ["openw", "a"], OK], [W0, T1, OK]]
OPENED = STORED + [[W0, ["openw", "b"], OK]]
MADE = [[W0, ["excl", "a"], OK], [W1, ["openw", "a"], OK],
        [W1, T1, OK], [W0, T2, OK]]


def saw(worker, p, data):
    return [worker, ["read", p], ["ok", recognise(data)]]


def one_by_one(*calls):
    return [[call] for call in calls]


def cases():
    """(name, steps, the step that nothing explains or None)"""
    t1, t2 = body("t1", 700), body("t2", 10)
    again = STORED + [[W1, ["openw", "a"], OK], [W1, T2, OK]]
    gone = [R1, ["read", "a"], ["ENOENT", None]]
    yield "what was closed is read", one_by_one(*STORED, saw(R1, "a", t1)), None
    yield "an old version", one_by_one(*again, saw(R0, "a", t1)), 4
    yield "not there", one_by_one(*STORED, gone), 2
    yield "nothing in it", one_by_one(*STORED, saw(R0, "a", b"")), 2
    yield "half of it", one_by_one(*STORED, saw(R1, "a", t1[:350])), 2
    yield "other bytes", one_by_one(*STORED, saw(R1, "a", b"x" * 700)), 2
    yield "another file is open", one_by_one(*OPENED, saw(R0, "a", b"")), 3
    yield "and bytes from nowhere", one_by_one(*OPENED, saw(R0, "b", b"x")), 3
    yield "emptied here", one_by_one(*OPENED, saw(R0, "b", b"")), None
    yield "opened elsewhere", one_by_one(
        *STORED, [W0, ["openw", "a"], OK], saw(R1, "a", b"")), 3
    emptying, zeros = [W0, ["openw", "a"], OK], b"\0" * len(t1)
    yield "just being emptied", one_by_one(*STORED) + [
        [emptying, saw(R0, "a", zeros)]], None
    yield "more zeros than it had bytes", one_by_one(*STORED) + [
        [emptying, saw(R0, "a", zeros + b"\0")]], 2
    yield "emptied elsewhere", one_by_one(*STORED) + [
        [emptying, saw(R1, "a", zeros)]], 2
    yield "zeros out of the blue", one_by_one(*STORED, saw(R0, "a", zeros)), 2
    yield "just being closed", one_by_one(*again[:3]) + [
        [[W1, T2, OK], saw(R0, "a", t2 + t1[len(t2):])]], None
    yield "another is being closed", one_by_one(*OPENED) + [
        [[W0, T2, OK], saw(R0, "a", t2 + t1[len(t2):])]], 3
    yield "written over", one_by_one(
        *MADE, saw(R0, "a", t2 + t1[len(t2):])), None
    yield "written over, bytes lost", one_by_one(*MADE, saw(R0, "a", t2)), 4
    yield "exclusive twice", [[[W0, ["excl", "a"], OK],
                               [W1, ["excl", "a"], OK]]], 0
    yield "mkdir twice", [[[W0, ["mkdir", "x"], OK],
                           [W1, ["mkdir", "x"], OK]]], 0
    yield "taken away twice", one_by_one(*STORED) + [
        [[W0, ["unlink", "a"], OK], [W1, ["unlink", "a"], OK]]], 2
    moving = [W1, ["rename", "a", "b"], OK]
    yield "under both names", one_by_one(*STORED, moving, saw(R0, "b", t1),
                                         saw(R0, "a", t1)), 4
    yield "renamed at once", one_by_one(*STORED) + [
        [[W0, ["rename", "a", "b"], OK], moving]], None
    yield "renamed twice", one_by_one(
        *STORED, [W0, ["rename", "a", "b"], OK], moving), 3
    yield "under neither", one_by_one(
        *STORED, moving, [R0, ["read", "b"], ["ENOENT", None]]), 3
    yield "a close that is lost", one_by_one(
        *STORED[:1], [W0, T1, ["ESTALE", None]]), 1


def selftest():
    who = [(0, True), (0, False), (1, True), (1, False)]
    wrong = 0
    for name, steps, bad in cases():
        history = {"who": who, "steps": steps, "times": list(range(len(steps)))}
        number = check(history, 0)
        if number != bad:
            print("%s: step %s, not %s" % (name, number, bad))
            wrong = 1
    return wrong


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
    elif argv == ["selftest"]:
        return selftest()
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
