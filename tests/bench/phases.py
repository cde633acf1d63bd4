"""What is done to each subject, in groups that begin with an empty store.

A group is a function with a Run; it measures its phases in order and checks,
outside of what is timed, that what came back is right.
"""
import concurrent.futures
import hashlib
import os
import shutil
import subprocess
import threading
import time

# key: title, unit
PHASES = {
    "tree-in": ("cp -a of the tree, durable", "s"),
    "tree-returned": ("  cp -a returned after", "s"),
    "tree-bytes": ("bytes stored for the tree", "MB"),
    "tree-again": ("the same tree again, durable", "s"),
    "lslr-cold": ("ls -lR of the tree, cold", "s"),
    "lslr-warm": ("ls -lR of the tree, warm", "s"),
    "record-cold": ("a record listed with stat, cold", "ms"),
    "record-warm": ("a record listed with stat, warm", "ms"),
    "record-busy": ("  while another mount writes", "ms"),
    "read-cold": ("read all files, cold", "s"),
    "read-warm": ("read all files, warm", "s"),
    "rename-dir": ("rename of a directory of 20", "s"),
    "rm-100": ("rm -r of 100 files", "s"),
    "text-in": ("200 MB compressible in, durable", "s"),
    "text-bytes": ("bytes stored for it", "MB"),
    "text-out-cold": ("200 MB compressible out, cold", "s"),
    "text-out-warm": ("200 MB compressible out, warm", "s"),
    "text-first": ("first byte of it, cold", "s"),
    "text-random": ("random 4 KB of it, cold, mean", "ms"),
    "text-one": ("most fetched for 4 KB of it", "KB"),
    "copy": ("copy of 200 MB inside, durable", "s"),
    "rename": ("rename of 200 MB", "s"),
    "noise-in": ("200 MB incompressible in, durable", "s"),
    "noise-bytes": ("bytes stored for it", "MB"),
    "noise-out-cold": ("200 MB incompressible out, cold", "s"),
    "noise-out-warm": ("200 MB incompressible out, warm", "s"),
    "noise-first": ("first byte of it, cold", "s"),
    "noise-random": ("random 4 KB of it, cold, mean", "ms"),
    "noise-one": ("most fetched for 4 KB of it", "KB"),
    "huge-first": ("first byte of 10 GB, cold", "s"),
    "write-1": ("small file written, 1 client", "ms"),
    "write-16": ("small file written, 16 clients", "ms"),
    "small-read-1": ("small file read cold, 1 client", "ms"),
    "small-read-16": ("small file read cold, 16 clients", "ms"),
    "many-cold": ("a record of 10,000 files, cold", "ms"),
    "list-few": ("a record of 10 among 1,000 rows", "ms"),
    "list-million": ("a record of 10 among a million", "ms"),
    "stat-few": ("a file's stat among 1,000 rows", "ms"),
    "stat-million": ("a file's stat among a million", "ms"),
    "memory": ("most memory resident", "MB"),
}
GROUPS = {
    "tree": ["tree-in", "tree-returned", "tree-bytes", "tree-again", "lslr-cold",
             "lslr-warm", "record-cold", "record-warm", "record-busy", "read-cold",
             "read-warm", "rename-dir", "rm-100"],
    "text": ["text-in", "text-bytes", "text-out-cold", "text-out-warm", "text-first",
             "text-random", "text-one", "copy", "rename"],
    "noise": ["noise-in", "noise-bytes", "noise-out-cold", "noise-out-warm",
              "noise-first", "noise-random", "noise-one"],
    "huge": ["huge-first"],
    "clients": ["write-1", "write-16", "small-read-1", "small-read-16"],
    "many": ["many-cold"],
    "million": ["list-few", "stat-few", "list-million", "stat-million"],
}
RANDOM_READS = 200
ISOLATED = 20
SMALL = 8192


def timed(command, **kw):
    """Seconds, and what the command said when it failed."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, errors="replace", **kw)
    took = time.perf_counter() - start
    said = done.stderr.strip().splitlines()
    return took, "" if done.returncode == 0 else "%s: rc %d, %s%s" % (
        command[0], done.returncode, said[0][:90] if said else "",
        ", %d lines" % len(said) if len(said) > 1 else "")


def settled(run, command):
    """Seconds until the command had returned, and until all was stored."""
    start = time.perf_counter()
    returned, note = timed(command)
    run.subject.settle()
    return returned, time.perf_counter() - start, note


def lost(source, copy):
    """What cp -a was to keep and did not."""
    out, n = set(), 0
    for directory, _, files in os.walk(source):
        for name in files:
            a = os.path.join(directory, name)
            try:
                b = os.lstat(os.path.join(copy, os.path.relpath(a, source)))
            except OSError:
                return "WRONG: files are missing"
            a = os.lstat(a)
            n += 1
            if a.st_size != b.st_size:
                out.add("WRONG: sizes differ")
            if a.st_mode != b.st_mode:
                out.add("modes lost")
            if int(a.st_mtime) != int(b.st_mtime):
                out.add("times lost")
    return ", ".join(sorted(out)) if n else "WRONG: nothing was compared"


def same(got, wanted, what="content"):
    return "" if got == wanted else "WRONG: %s is %s, not %s" % (what, got, wanted)


def wrong(result, n=None, digest=None):
    if result["errors"]:
        return "WRONG: %d errors, %s" % (result["errors"], result["first_error"])
    if n is not None and result["n"] != n:
        return same(result["n"], n, "the number")
    if digest is not None:
        return same(result.get("sha256"), digest, "the content's digest")
    return ""


# ---- the tree

def tree(run):
    root, data = run.subject.root, run.data
    with run.measure("tree-in") as m:
        returned, m.value, m.note = settled(run, ["cp", "-a", *run.top("tree"), root])
    run.put("tree-returned", returned)
    m.note = "; ".join(filter(None, [m.note, lost(data.tree.top, root)]))
    run.put("tree-bytes", run.subject.stored() / 1e6)
    with run.measure("tree-again") as m:
        _, m.value, m.note = settled(run, ["cp", "-a", *run.top("tree2"), root])
    if run.wants("lslr-cold", "lslr-warm"):
        whole_listing(run)
    if run.wants("record-cold", "record-warm", "record-busy"):
        records(run)
    if run.wants("read-cold", "read-warm"):
        read_files(run)
    with run.measure("rename-dir") as m:
        m.value = rename(run, "account-01/table1", "account-01/table-new")
    if m.note == "" and run.wants("rename-dir"):
        m.note = same(len(os.listdir(os.path.join(root, "account-01/table-new"))), 10,
                      "entries after renaming")
    with run.measure("rm-100") as m:
        _, m.value, m.note = settled(run, ["rm", "-r", os.path.join(root, "other-03")])
    m.note = m.note or same(os.path.exists(os.path.join(root, "other-03")), False,
                            "what was removed")


def rename(run, old, new):
    root = run.subject.root
    start = time.perf_counter()
    os.rename(os.path.join(root, old), os.path.join(root, new))
    run.subject.settle()
    return time.perf_counter() - start


def whole_listing(run):
    root = run.subject.root
    tops = [os.path.join(root, os.path.basename(t)) for t in run.top("tree")]
    run.subject.cold()
    with run.measure("lslr-cold") as m:
        m.value, m.note = timed(["ls", "-lR", *tops])
    out = subprocess.run(["ls", "-lR", *tops], stdout=subprocess.PIPE, text=True)
    n = sum(line.startswith("-") for line in out.stdout.splitlines())
    m.note = m.note or same(n, len(run.data.tree.files), "the number of files")
    with run.measure("lslr-warm") as m:
        m.value, m.note = timed(["ls", "-lR", *tops])


def records(run):
    """1,000 records of two files each: those of both trees."""
    root, names = run.subject.root, run.data.tree.records
    dirs = [os.path.join(root, r.replace("account", word, 1))
            for word in ("account", "other") for r in names]
    run.subject.cold()

    def once(key):
        with run.measure(key) as m:
            r = run.tool("list", lines=dirs)
            m.value, m.note = r["us"] / len(dirs) / 1000, wrong(r, 2 * len(dirs))
    once("record-cold")
    run.tool("list", lines=dirs)            # the kernel fills its cache now
    once("record-warm")
    if run.wants("record-busy"):
        with writing(run.subject.second()):
            run.tool("list", lines=dirs)
            once("record-busy")
        run.subject.end_second()


class writing:
    """Somebody who writes a file to other records, about 50 in a second."""

    def __init__(self, top):
        self.top, self.stop, self.error = top, threading.Event(), None
        self.thread = threading.Thread(target=self.work)

    def work(self):
        n = 0
        try:
            while not self.stop.wait(0.02):
                record = os.path.join(self.top, "busy/table/%d" % (n % 20))
                os.makedirs(record, exist_ok=True)
                with open(os.path.join(record, "f%d" % n), "w") as f:
                    f.write("content %d\n" % n)
                n += 1
        except OSError as e:
            self.error = e

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.error:
            raise self.error


def read_files(run):
    tree = run.data.tree
    files = [os.path.join(run.subject.root, f) for f in tree.files]
    run.subject.cold()
    for key in ("read-cold", "read-warm"):
        with run.measure(key) as m:
            r = run.tool("read", tree.bytes + 1, lines=files)
            m.value, m.note = r["us"] / 1e6, wrong(r, len(files), tree.digest)


# ---- large files

def large(run, kind):
    source = getattr(run.data, kind)
    top = os.path.join(run.subject.root, "large/table/1")
    path = os.path.join(top, kind + ".bin")
    os.makedirs(top)
    with run.measure(kind + "-in") as m:
        _, m.value, m.note = settled(run, ["cp", source.path, path])
    run.put(kind + "-bytes", run.subject.stored() / 1e6)

    def read(key):
        with run.measure(key) as m:
            r = run.tool("read", source.size + 1, lines=[path])
            m.value, m.note = r["us"] / 1e6, wrong(r, 1, source.digest)
    if run.wants(kind + "-out-cold", kind + "-out-warm"):
        run.subject.cold()
        read(kind + "-out-cold")
        read(kind + "-out-warm")
    if run.wants(kind + "-first"):
        run.subject.cold()
        os.stat(path)
        with run.measure(kind + "-first") as m:
            r = run.tool("first", path)
            m.value, m.note = r["us"] / 1e6, wrong(r, 1, source.first_digest())
    if run.wants(kind + "-random"):
        run.subject.cold()
        os.stat(path)
        with run.measure(kind + "-random") as m:
            r = run.tool("random", path, RANDOM_READS, run.seed)
            m.value = r["us"] / RANDOM_READS / 1000
            m.note = wrong(r, RANDOM_READS,
                           source.random_digest(RANDOM_READS, run.seed))
    if run.wants(kind + "-one"):
        isolated(run, kind, path, source)
    return path


def isolated(run, kind, path, source):
    """The most that one of a few single reads took from the object store."""
    run.subject.cold()
    os.stat(path)
    with run.measure(kind + "-one") as m:
        m.value = 0
        for n in range(ISOLATED):
            seed, before = run.seed + 7919 * n, run.fetched()
            r = run.tool("random", path, 1, seed)
            m.value = max(m.value, (run.fetched() - before) / 1000)
            m.note = m.note or wrong(r, 1, source.random_digest(1, seed))
        most = run.subject.one_read_kb(kind) if run.subject.ours else None
        if most and not 0 < m.value <= most:
            m.note = m.note or "WRONG: %d KB for 4 KB, at most %d" % (m.value, most)


def text(run):
    path = large(run, "text")
    if not run.wants("copy", "rename"):
        return
    run.subject.cold()
    copy = path + ".copy"
    with run.measure("copy") as m:
        _, m.value, m.note = settled(run, ["cp", path, copy])
    with run.measure("rename") as m:
        m.value = rename(run, copy, path + ".renamed")
    r = run.tool("read", run.data.text.size + 1, lines=[path + ".renamed"])
    m.note = wrong(r, 1, run.data.text.digest)


def noise(run):
    large(run, "noise")


def huge(run):
    """A hole of 10 GB: bzip2 makes a few KB of it."""
    if not run.subject.ours and run.subject.on_s3:
        run.refuse("huge-first", "10 GB as they are do not fit into this gateway")
        return
    top = os.path.join(run.subject.root, "large/table/1")
    os.makedirs(top)
    path = os.path.join(top, "huge")
    with open(path, "wb") as f:
        f.truncate(10 << 30)
    run.subject.settle()
    run.subject.cold()
    os.stat(path)
    with run.measure("huge-first") as m:
        before = run.fetched()
        r = run.tool("first", path)
        m.value = r["us"] / 1e6
        m.note = wrong(r, 1, hashlib.sha256(b"\0").hexdigest())
        n = run.fetched() - before
        if n > 2000000:
            m.note = m.note or "WRONG: %d bytes were fetched" % n


# ---- many clients

def clients(run):
    each = 10 if run.quick else 50
    top = os.path.join(run.subject.root, "small/table")
    for n in (1, 16):
        for i in range(n):
            os.makedirs(os.path.join(top, str(n), "r%d" % i))

    def go(key, how, n):
        with run.measure(key) as m:
            start = time.perf_counter()
            count = each * 4 if n == 1 else each
            r = run.tool("clients", how, n, count, SMALL, os.path.join(top, str(n)))
            run.subject.settle()
            took = time.perf_counter() - start if how == "write" else r["wall_us"] / 1e6
            m.value = took * 1000 / (n * count)
            m.note = wrong(r, n * count)
    go("write-1", "write", 1)
    go("write-16", "write", 16)
    for n in (1, 16):
        if run.wants("small-read-%d" % n):
            run.subject.cold()
            go("small-read-%d" % n, "read", n)


# ---- large directories

def many(run):
    """Files of one content: for us and the disk copies in the mount, for the
    others objects that are put beside them, which takes them minutes less."""
    count = 1000 if run.quick else 10000
    record = "large/table/many"
    if run.subject.on_s3 and not run.subject.ours:
        for i in range(count):
            run.s3.put("%s/%s/file-%05d" % (run.subject.bucket, record, i), b"content\n")
        for i in range(len(record.split("/"))):
            part = "/".join(record.split("/")[:i + 1])
            run.s3.put("%s/%s/" % (run.subject.bucket, part), b"")
    else:
        copies(os.path.join(run.subject.root, record), count)
    run.subject.cold()
    with run.measure("many-cold") as m:
        r = run.tool("list", lines=[os.path.join(run.subject.root, record)])
        m.value, m.note = r["us"] / 1000, wrong(r, count)
        if count != 10000:
            m.note = m.note or "%d files" % count


def copies(top, count):
    os.makedirs(top)
    first = os.path.join(top, "file-00000")
    with open(first, "wb") as f:
        f.write(b"content\n")

    def copy(i):
        with open(first, "rb") as a, open(os.path.join(top, "file-%05d" % i), "wb") as b:
            os.copy_file_range(a.fileno(), b.fileno(), 8)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(copy, range(1, count)):
            pass


def million(run):
    """Rows as PHP writes them: 10 files a record, 100 records a table."""
    if not run.subject.on_mysql:
        why = "no database" if not run.subject.ours else "measured on MariaDB"
        for key in GROUPS["million"]:
            run.refuse(key, why)
        return
    rows(run, "few", 1000)
    probe(run, "few", "")
    count = 100000 if run.quick else 1000000
    rows(run, "million", count)
    probe(run, "million", "" if count == 1000000 else "%d rows" % count)


def rows(run, account, count):
    run.subject.unmount()
    now = int(time.time()) - 1000
    space = "CONCAT('%s', seq DIV 10000, '.t', seq DIV 1000 MOD 10, '.', seq DIV 10)" \
        % account
    run.sql("INSERT INTO filespace (space_key, created_at, name) "
            "SELECT {0}, {1}, 'r' FROM seq_0_to_{2} WHERE seq MOD 10 = 0; "
            "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at,"
            " size_original, size_storage) "
            "SELECT CONCAT('file-', seq MOD 10, '.txt'), {0}, SHA1(seq MOD 1000), "
            "{1} + seq MOD 500, 1000, 1000 FROM seq_0_to_{2}; "
            "TRUNCATE fsp_change; ANALYZE TABLE filespace, filespace_file"
            .format(space, now, count - 1))


def probe(run, account, note):
    dirs = [os.path.join(run.subject.root, account + "0", "t0", str(r))
            for r in range(100)]
    for what, lines, each in (("list", dirs, 10),
                              ("stat", [d + "/file-3.txt" for d in dirs], 1)):
        run.subject.cold()
        run.tool("stat", lines=[os.path.dirname(dirs[0])])
        with run.measure("%s-%s" % (what, account)) as m:
            r = run.tool(what, lines=lines)
            m.value, m.note = r["us"] / 100 / 1000, wrong(r, 100 * each) or note


FUNCTIONS = {"tree": tree, "text": text, "noise": noise, "huge": huge,
             "clients": clients, "many": many, "million": million}


def second_tree(tree):
    """The tree once more, with other accounts."""
    top = tree.top + "2"
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(tree.top, top)
    for name in os.listdir(top):
        os.rename(os.path.join(top, name),
                  os.path.join(top, name.replace("account", "other")))
