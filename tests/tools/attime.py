#!/usr/bin/env python3
"""Random operations in a mount, each state recorded with its time; then
.versions/@TIME of the root has to show what was there, at random times.

usage: attime.py MOUNT SEED OPERATIONS VIEWS
"""
import os
import random
import sys
import time

MOUNT, SEED, OPS, VIEWS = sys.argv[1], *map(int, sys.argv[2:5])
rnd = random.Random(SEED)
tree = {}       # path -> ("d",) | ("f", bytes) | ("l", target)
history = []    # (time in the middle of a quiet gap, state)


def dirs():
    return [""] + [p for p, e in tree.items() if e[0] == "d"]


def files():
    return [p for p, e in tree.items() if e[0] == "f"]


def full(path):
    return os.path.join(MOUNT, path)


def fresh(parent, depth_max=7):
    if parent.count("/") >= depth_max:
        parent = ""
    name = rnd.choice(["a", "b", "c.txt", "d.e", "f g", "é", "%2E", "x.y.z"])
    return f"{parent}/{name}" if parent else name


def below(path):
    return [p for p in tree if p.startswith(path + "/")]


def write():
    path = rnd.choice(files()) if files() and rnd.random() < 0.4 else fresh(rnd.choice(dirs()))
    if path in tree and tree[path][0] != "f":
        return
    data = rnd.randbytes(rnd.randrange(1, 200))
    with open(full(path), "wb") as f:
        f.write(data)
    tree[path] = ("f", data)


def mkdir():
    path = fresh(rnd.choice(dirs()))
    if path not in tree:
        os.mkdir(full(path))
        tree[path] = ("d",)


def symlink():
    path = fresh(rnd.choice(dirs()))
    if path not in tree:
        os.symlink(f"to-{len(history)}", full(path))
        tree[path] = ("l", f"to-{len(history)}")


def unlink():
    leaves = [p for p, e in tree.items() if e[0] != "d"]
    if leaves:
        path = rnd.choice(leaves)
        os.unlink(full(path))
        del tree[path]


def rmdir():
    empty = [p for p in dirs()[1:] if not below(p)]
    if empty:
        path = rnd.choice(empty)
        os.rmdir(full(path))
        del tree[path]


def rename():
    if not tree:
        return
    old, new = rnd.choice(list(tree)), fresh(rnd.choice(dirs()))
    if new == old or new.startswith(old + "/"):
        return
    if new in tree and (tree[new][0] == "d" or tree[old][0] == "d"):
        return
    os.rename(full(old), full(new))
    tree.pop(new, None)
    for p in [old] + below(old):
        tree[new + p[len(old):]] = tree.pop(p)


def snapshot(top):
    seen = {}
    for base, names, leaves in os.walk(top, onerror=fail):
        for n in names + leaves:
            path = os.path.join(base, n)
            rel = os.path.relpath(path, top)
            if os.path.islink(path):
                seen[rel] = ("l", os.readlink(path))
            elif os.path.isdir(path):
                seen[rel] = ("d",)
            else:
                with open(path, "rb") as f:
                    seen[rel] = ("f", f.read())
    return seen


def fail(error):
    raise error


def compare(when, wanted, got):
    if wanted == got:
        return
    for path in sorted(set(wanted) | set(got)):
        if wanted.get(path) != got.get(path):
            print(f"seed {SEED}: @{when}: {path!r}: wanted {wanted.get(path)}, got {got.get(path)}")
    sys.exit(1)


# A pause around each operation gives every state a time that is its own.
GAP = 0.004
for i in range(OPS):
    rnd.choices([write, mkdir, symlink, unlink, rmdir, rename], [6, 4, 1, 2, 1, 4])[0]()
    time.sleep(GAP / 2)
    history.append((time.time(), dict(tree)))
    time.sleep(GAP / 2)

compare("now", tree, snapshot(MOUNT))
for i in sorted(rnd.sample(range(len(history)), min(VIEWS, len(history)))):
    when, state = history[i]
    compare(f"{when:.6f}", state, snapshot(f"{MOUNT}/.versions/@{when:.6f}"))
# A directory's own .versions has the same, under the name it had.
for path in [p for p in dirs()[1:]][:20]:
    when, state = history[-1]
    inside = {p[len(path) + 1:]: e for p, e in state.items() if p.startswith(path + "/")}
    compare(f"{when:.6f} in {path}", inside, snapshot(f"{MOUNT}/{path}/.versions/@{when:.6f}"))
print(f"{OPS} operations, {VIEWS} views, seed {SEED}: as recorded")
