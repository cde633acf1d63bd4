#!/usr/bin/env python3
"""Opens by a name that another mount has taken away, while this mount finds the
file under its new name.

    moved.py ROUNDS A B C       one directory, seen by three mounts

B knows a name that A then renames. At the same time one thread of B opens that
name and another one looks the new name up, or takes it back. What the open has
is what is there under the name, or that there is nothing; never the file that
has gone from there, and never ESTALE. Nor is that the answer where B and C both
make the name anew.
"""
import errno
import os
import random
import sys
import threading


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def get(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError as e:
        return errno.errorcode[e.errno]


def at_once(*calls):
    """What they answer, begun together, or nearly so."""
    gate = threading.Barrier(len(calls))
    answers = [None] * len(calls)

    def run(k):
        gate.wait()
        for _ in range(random.randrange(400)):
            pass
        answers[k] = calls[k]()

    threads = [threading.Thread(target=run, args=(k,))
               for k in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def make(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        return "made"
    except OSError as e:
        return errno.errorcode[e.errno]


def looked_up(a, b, _, n):
    """A puts another file where the first one was."""
    put(a + "/from", "old %d" % n)
    get(b + "/from")
    os.rename(a + "/from", a + "/to")
    put(a + "/from", "new %d" % n)
    got, _ = at_once(lambda: get(b + "/from"), lambda: os.stat(b + "/to"))
    os.unlink(a + "/from")
    os.unlink(a + "/to")
    return got, ["new %d" % n]


def made_anew(a, b, c, n):
    """It goes, and two others open it for writing."""
    put(a + "/from", "gone %d" % n)
    get(b + "/from")
    get(c + "/from")
    os.rename(a + "/from", a + "/to")
    got = at_once(lambda: make(b + "/from"), lambda: make(c + "/from"))
    os.unlink(a + "/from")
    os.unlink(a + "/to")
    return " and ".join(got), ["made and made"]


def taken_back(a, b, _, n):
    """B renames it back."""
    put(a + "/from", "back %d" % n)
    get(b + "/from")
    os.rename(a + "/from", a + "/to")
    got, _ = at_once(lambda: get(b + "/from"),
                     lambda: os.rename(b + "/to", b + "/from"))
    os.unlink(a + "/from")
    return got, ["back %d" % n, "ENOENT"]


def main(argv):
    if len(argv) != 4:
        sys.exit(__doc__)
    wrong = 0
    for n in range(int(argv[0])):
        for what in (looked_up, made_anew, taken_back):
            got, right = what(*argv[1:], n)
            if got not in right:
                wrong += 1
                print("round %d, %s: %s instead of %s" % (
                    n, what.__name__, got, " or ".join(right)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
