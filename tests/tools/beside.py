#!/usr/bin/env python3
"""A mount beside PHP's uploads without end (interop.php, loop): both have the
names "upload 0" to "upload 6", and each text says whose it is.

    beside.py read DIR UNTIL [--writer] reads all, again and again
    beside.py write DIR UNTIL LOG       writes all, again and again
    beside.py verify DIR UPLOADS LOG    all of both is in the history

read and write end when the file UNTIL is there; UNTIL.seen comes when read has
seen each file change. What is read is whole and of
its name, or there is no such file: PHP ends a row before it inserts the next.
With --writer somebody of this mount may just have emptied it.
"""
import os
import re
import sys
import time

NAMES = [f"upload {i}" for i in range(7)]


def php_text(n):
    return f"upload {n % 7} for the {n}. time\n"


def our_text(n):
    return f"upload {n % 7} by the mount, round {n}\n"


def read(path):
    with open(path) as f:
        return f.read()


def read_all(where, until, writer=None):
    seen, missing, rounds = {name: set() for name in NAMES}, 0, 0
    while not os.path.exists(until):
        for name in NAMES:
            try:
                text = read(f"{where}/{name}")
            except FileNotFoundError:
                missing += 1
                continue
            if writer and not text:
                continue
            if not re.fullmatch(rf"{name} (for the \d+\. time"
                                r"|by the mount, round \d+)\n", text):
                sys.exit(f"{name} has {text!r}")
            seen[name].add(text)
        rounds += 1
        if all(len(texts) > 1 for texts in seen.values()):
            open(until + ".seen", "w").close()
        time.sleep(0.005)
    print(f"read {sum(map(len, seen.values()))} contents in {rounds} rounds, "
          f"none {missing} times")


def write_all(where, until, log):
    n = 0
    with open(log, "w") as acknowledged:
        while not os.path.exists(until):
            fd = os.open(f"{where}/{NAMES[n % 7]}",
                         os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.write(fd, our_text(n).encode())
            finally:
                os.close(fd)
            print(n, file=acknowledged, flush=True)
            n += 1


def history(where, name):
    """About old to new: within a second by the text of the row's number."""
    versions = f"{where}/.versions/{name}"
    return [read(f"{versions}/{entry}") for entry in sorted(os.listdir(versions))]


def verify(where, uploads, log):
    written = [int(line) for line in open(log)]
    turns = 0
    for i, name in enumerate(NAMES):
        have = history(where, name)
        want = [php_text(n) for n in range(int(uploads)) if n % 7 == i] + \
            [our_text(n) for n in written if n % 7 == i]
        lost = set(want) - set(have)
        if lost:
            sys.exit(f"{len(lost)} of {len(want)} contents of {name} are lost: "
                     f"{sorted(lost)[:3]}")
        ours = ["mount" in text for text in have]
        turns += sum(a != b for a, b in zip(ours, ours[1:]))
    print(f"{uploads} by PHP, {len(written)} by the mount, {turns} turns")
    if turns < 20:
        sys.exit("they did not meet")


if __name__ == "__main__":
    {"read": read_all, "write": write_all, "verify": verify}[sys.argv[1]](
        *sys.argv[2:])
