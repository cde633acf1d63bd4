"""The data of the bench, the same in every run: made from a seed.

The tree is that of the figures it is compared with: 10 accounts x 5 tables x 10
records x 2 files of 4 to 64 KB, the second of which holds one of a few contents
that all records share. Large files are either text that compresses well or
noise that does not.
"""
import hashlib
import os
import random

SEED = 20261129
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def words(rng, count):
    return ["".join(rng.choices(LETTERS, range(27, 1, -1), k=rng.randint(2, 11)))
            for _ in range(count)]


class Text:
    """Text as in forms and letters: frequent words, and numbers in between."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        names = words(self.rng, 20000)
        weights = [1.0 / (i + 2) ** 0.75 for i in range(len(names))]
        self.stock = self.rng.choices(names, weights, k=400000)

    def line(self, count):
        at = self.rng.randrange(len(self.stock) - count)
        return " ".join(self.stock[at:at + count])

    def prose(self, size):
        """About 1.8 times as large as bzip2 makes it."""
        out, have = [], 0
        while have < size:
            line = "%s %x %s\n" % (self.line(3), self.rng.getrandbits(48),
                                   self.line(4))
            out.append(line)
            have += len(line)
        return "".join(out).encode()[:size]

    def report(self, size):
        """About six times as large as bzip2 makes it: lines come again."""
        lines = [self.line(14) + "\n" for _ in range(1850)]
        while size > 0:
            piece = "".join(self.rng.choices(lines, k=40000)).encode()[:size]
            size -= len(piece)
            yield piece


def noise(size, seed):
    rng = random.Random(seed)
    while size > 0:
        piece = min(size, 1 << 20)
        yield rng.randbytes(piece)
        size -= piece


def write(path, pieces):
    """Returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for piece in pieces:
            digest.update(piece)
            f.write(piece)
    return digest.hexdigest()


class Tree:
    """The tree at a path, its files in order, and what must be read of them."""

    def __init__(self, top, accounts):
        self.top = top
        self.files = []                 # relative, as they are read
        self.records = []               # relative directories of two files
        self.bytes = 0
        self.unique = {}                # SHA-256: content
        self.digest = None
        text = Text(SEED)
        sizes = random.Random(SEED + 1)
        shared = [text.prose(sizes.randint(24000, 46000)) for _ in range(13)]
        whole = hashlib.sha256()
        for a in range(accounts):
            for t in range(5):
                for r in range(10):
                    record = "account-%02d/table%d/%d" % (a, t, 1000 + r)
                    own = text.prose(sizes.randint(4096, 65536))
                    n = len(self.records)
                    self.add(record, "letter.txt", own, whole)
                    self.add(record, "terms.txt", shared[n % 13], whole)
                    self.records.append(record)
        self.digest = whole.hexdigest()

    def add(self, record, name, content, whole):
        directory = os.path.join(self.top, record)
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name), "wb") as f:
            f.write(content)
        when = 1.7e9 + len(self.files)  # so that lost times show
        os.utime(os.path.join(directory, name), (when, when))
        os.chmod(os.path.join(directory, name), 0o640)
        whole.update(content)
        self.unique[hashlib.sha256(content).hexdigest()] = content
        self.files.append(record + "/" + name)
        self.bytes += len(content)

    @property
    def unique_bytes(self):
        return sum(len(c) for c in self.unique.values())


class Large:
    """A large file and what has to come back from it."""

    def __init__(self, path, size, pieces):
        self.path, self.size = path, size
        self.digest = write(path, pieces)

    def random_digest(self, count, seed):
        """The digest of what benchio random reads."""
        digest = hashlib.sha256()
        with open(self.path, "rb") as f:
            for _ in range(count):
                seed = (seed * 6364136223846793005 + 1442695040888963407) % (1 << 64)
                f.seek((seed >> 11) % (self.size - 4096))
                digest.update(f.read(4096))
        return digest.hexdigest()

    def first_digest(self):
        with open(self.path, "rb") as f:
            return hashlib.sha256(f.read(1)).hexdigest()


class Data:
    def __init__(self, directory, quick):
        self.quick = quick
        size = (32 << 20) if quick else 200_000_000
        os.makedirs(directory, exist_ok=True)
        self.tree = Tree(os.path.join(directory, "tree"), 10)
        text = Text(SEED + 2)
        self.text = Large(os.path.join(directory, "text"), size, text.report(size))
        self.noise = Large(os.path.join(directory, "noise"), size, noise(size, SEED + 3))
