#!/usr/bin/env python3
"""Files with what close() said of each, while servers die beside it.

confirmed.py copy DIR WHO UNTIL SIZE   new files until UNTIL is there: "closing
                                       NAME", then "ok NAME" or "failed NAME
                                       ERRNO", a line each
confirmed.py check DIR NAME...         their content is what it was
"""
import errno
import hashlib
import os
import sys
import time


def content(name, size):
    """Bytes that hardly compress, told by the name."""
    return hashlib.shake_128(name.encode()).digest(size)


def store(where, name, data):
    fd = os.open(f"{where}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        print("closing", name, flush=True)
        os.close(fd)


def copy(where, who, until, size):
    n = 0
    while not os.path.exists(until):
        name = f"{who}-{n}-{size}"
        try:
            store(where, name, content(name, int(size)))
            print("ok", name, flush=True)
        except OSError as e:
            print("failed", name, errno.errorcode[e.errno], flush=True)
            time.sleep(0.2)
        n += 1


def check(where, *names):
    for name in names:
        with open(f"{where}/{name}", "rb") as f:
            if f.read() != content(name, int(name.rsplit("-", 1)[1])):
                sys.exit(f"{where}/{name} is not what was confirmed")


if sys.argv[1] == "copy":
    copy(*sys.argv[2:])
else:
    check(*sys.argv[2:])
