"""What the machine and the servers give at best, measured in the same run."""
import bz2
import json
import os
import subprocess
import time

import phases
from subjects import bash


def parallel(commands):
    start = time.perf_counter()
    running = [subprocess.Popen(c, shell=True) for c in commands]
    if any(p.wait() for p in running):
        raise RuntimeError("failed: %s" % commands)
    return time.perf_counter() - start


def halves(work, source):
    """bzip2 -9 of both halves at once, and back."""
    half = source.size // 2
    a, b = os.path.join(work, "half-a"), os.path.join(work, "half-b")
    subprocess.run("head -c %d %s >%s; tail -c +%d %s >%s"
                   % (half, source.path, a, half + 1, source.path, b),
                   shell=True, check=True)
    packed = parallel("bzip2 -9 -c <%s >%s.bz2" % (f, f) for f in (a, b))
    unpacked = parallel("bunzip2 -c <%s.bz2 >/dev/null" % f for f in (a, b))
    size = sum(os.path.getsize(f + ".bz2") for f in (a, b))
    for f in (a, b):
        os.unlink(f)
        os.unlink(f + ".bz2")
    return packed, unpacked, size


def clock(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def transfer(s3, bucket, body):
    key = bucket + "/limit"
    up = clock(s3.put, key, body)
    down = clock(s3.get, key)
    return up, down


def small(s3, bucket, tree):
    """The tree's contents one after another: compress, put, get, unpack."""
    out = {"tree_compress": 0, "tree_put": 0, "tree_get": 0, "tree_unpack": 0}
    for n, content in enumerate(tree.unique.values()):
        packed = []
        out["tree_compress"] += clock(lambda: packed.append(bz2.compress(content, 9)))
        key = "%s/t%d" % (bucket, n)
        out["tree_put"] += clock(s3.put, key, packed[0])
        out["tree_get"] += clock(s3.get, key)
        out["tree_unpack"] += clock(bz2.decompress, packed[0])
        out["tree_bytes"] = out.get("tree_bytes", 0) + len(packed[0])
    return out


def database(env, sqltime, n):
    name = "t_bench_limit"
    bash('fsp_mariadb -e "CREATE DATABASE $1"', {**env, "WORK": "/"}, name)
    try:
        return json.loads(subprocess.run([sqltime, name, str(n)], check=True, text=True,
                                         env={**os.environ, **env},
                                         stdout=subprocess.PIPE).stdout)
    finally:
        bash('fsp_mariadb -e "DROP DATABASE $1"', {**env, "WORK": "/"}, name)


def ranges(s3, bucket, source, count):
    """One GET of 4 KB after another."""
    start = time.perf_counter()
    for n in range(count):
        at = n * (source.size // count)
        s3.get(bucket + "/limit", range="bytes=%d-%d" % (at, at + 4095))
    return (time.perf_counter() - start) / count


def measure(run, work, sqltime, number):
    """All limits, in seconds, keyed as here; a dictionary."""
    data, s3 = run.data, run.s3
    bucket = "limits-%d" % number
    s3.bucket(bucket)
    out = database(run.env, sqltime, 500)
    out["bzip2"], out["bunzip2"], size = halves(work, data.text)
    out["text_bytes"] = size
    with open(data.text.path, "rb") as f:
        body = f.read(size)
    out["text_put"], out["text_get"] = transfer(s3, bucket, body)
    with open(data.noise.path, "rb") as f:
        body = f.read()
    out["noise_put"], out["noise_get"] = transfer(s3, bucket, body)
    out["noise_bytes"] = len(body)
    out["range_get"] = ranges(s3, bucket, data.noise, phases.RANDOM_READS)
    out.update(small(s3, bucket, data.tree))
    out["tree_unique"] = len(data.tree.unique)
    out["tree_unique_bytes"] = data.tree.unique_bytes
    bash('rgw_admin "$FSP_TEST_S3_DIR" bucket rm --bucket="$1" --purge-objects '
         '--bypass-gc', run.env, bucket)
    return out


def of_phase(lim, disk, files):
    """The limit of each phase that has one, in its unit. disk: the local disk's
    medians."""
    commit = lim["commit_us"] / 1e6
    each = 1000 / lim["tree_unique"]            # ms for one small file
    part = phases.SMALL * lim["tree_unique"] / lim["tree_unique_bytes"]
    out = {
        "tree-in": lim["tree_compress"] + lim["tree_put"] + commit * files,
        "tree-again": commit * files,
        "tree-bytes": lim["tree_bytes"] / 1e6,
        "record-cold": lim["select10_us"] / 1000,
        "read-cold": lim["tree_get"] + lim["tree_unpack"],
        "text-in": lim["bzip2"] + lim["text_put"],
        "text-bytes": lim["text_bytes"] / 1e6,
        "text-out-cold": lim["bunzip2"] + lim["text_get"],
        "noise-in": lim["noise_put"],
        "noise-out-cold": lim["noise_get"],
        "noise-random": lim["range_get"] * 1000,
        "noise-first": lim["range_get"] + lim["select_us"] / 1e6,
        "noise-bytes": lim["noise_bytes"] / 1e6,
        "copy": commit, "rename": commit, "rename-dir": commit,
        "write-1": each * (lim["tree_compress"] * part + lim["tree_put"]) +
        commit * 1000,
        "small-read-1": each * (lim["tree_get"] + lim["tree_unpack"] * part) +
        lim["select_us"] / 1000,
        "stat-few": lim["select_us"] / 1000, "stat-million": lim["select_us"] / 1000,
        "list-few": lim["select10_us"] / 1000,
        "list-million": lim["select10_us"] / 1000,
    }
    for key in OF_DISK:
        if key in disk:
            out[key] = disk[key]
    return out


OF_DISK = ("lslr-cold", "lslr-warm", "record-warm", "record-busy", "read-warm",
           "text-out-warm", "noise-out-warm", "rm-100")
OF_BZIP2 = ("tree-in", "tree-bytes", "read-cold", "text-in", "text-bytes",
            "text-out-cold")


def applies(key, subject):
    """Is that limit one for this subject? Those that are not the disk's are of
    both servers, and some are bzip2's."""
    if key in OF_DISK:
        return True
    if not subject.on_s3:
        return False
    return key not in OF_BZIP2 or "zstd" not in getattr(subject, "compression", "")
