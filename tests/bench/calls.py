#!/usr/bin/env python3
"""What each call of `cp -a` asks of MariaDB: every round trip and its statements,
from the general log of a private server. `scripts/bench --calls` starts it."""
import collections
import os
import re
import struct
import sys
import time

sys.dont_write_bytecode = True

import meter                                                    # noqa: E402
import subjects                                                 # noqa: E402

ENTRY = re.compile(r"^(?:\d{6} [ \d:]+)?\t+ *(\d+) (\w+(?: \w+)?)\t(.*)$")
ACL = struct.pack("<I" + "HHI" * 3, 2, 1, 6, 0xffffffff, 4, 4, 0xffffffff,
                  0x20, 4, 0xffffffff)


class Log:
    """The general log, by what was added since the last look."""

    def __init__(self, env, work):
        self.path = os.path.join(work, "general.log")
        meter.mariadb(env, "SET GLOBAL general_log_file = '%s'; "
                           "SET GLOBAL general_log = ON" % self.path)
        self.at = 0
        self.take()

    def take(self):
        time.sleep(0.05)                # what a call leaves to threads of ours
        with open(self.path, errors="replace") as f:
            f.seek(self.at)
            text = f.read()
            self.at = f.tell()
        entries = []
        for line in text.split("\n"):
            m = ENTRY.match(line)
            if m:
                entries.append([m[2].strip(), m[3]])
            elif entries and line:
                entries[-1][1] += " " + line.strip()
        return entries


def brief(sql):
    sql = re.sub(r"\s+", " ", sql)
    sql = re.sub(r"'(?:[^'\\]|\\.)*'", "'..'", sql)
    sql = re.sub(r"^SELECT (.{12}).{30,}? FROM ", r"SELECT \1.. FROM ", sql)
    return re.sub(r"\b\d{3,}\b", "N", sql)


def mine(entry):
    """Not the poll of changes, which comes once a second whatever happens."""
    kind, sql = entry
    return kind in ("Query", "Execute", "Prepare") and \
        not re.match(r"SELECT .*fsp_change", brief(sql))


NAMED = re.compile(r"^(?:EXECUTE|PREPARE) fsp\d")


def round_trips(entries):
    """The statements of each. A text of several is logged as such, and then
    those in it that have a name as if they had come alone."""
    trips, named = [], []               # named: their places in the last trip
    for kind, sql in entries:
        if kind == "Query":
            parts = sql.split(";")
            named = [i for i, p in enumerate(parts) if NAMED.match(p)]
            trips.append(parts)
        elif named:
            trips[-1][named.pop(0)] = sql
        else:
            trips.append([sql])
    return trips


class Calls:
    def __init__(self, log, width):
        self.log, self.width = log, width
        self.total = collections.Counter()
        self.trips = self.sum = 0

    def __call__(self, name, function, *args):
        self.log.take()
        result = function(*args)
        trips = round_trips([e for e in self.log.take() if mine(e)])
        print("%-36s %3d round trips, %3d statements"
              % (name, len(trips), sum(len(t) for t in trips)))
        for statements in trips:
            mark = "-"
            for sql in statements:
                print("    %s %s" % (mark, brief(sql)[:self.width]))
                self.total[brief(sql)] += 1
                mark = " "
            self.sum += len(statements)
        self.trips += len(trips)
        return result


def set_acl(where):
    try:
        os.setxattr(where, "system.posix_acl_access", ACL)
    except OSError:
        pass                            # then cp takes chmod


def directory(call, path):
    call("mkdir", os.mkdir, path, 0o700)
    call("stat of it", os.lstat, path)


def finish_directory(call, path):
    call("utimensat of the directory", os.utime, path, (1.6e9, 1.6e9))
    call("chown of the directory", os.chown, path, 0, 0)
    call("setxattr of its ACL", set_acl, path)
    call("chmod of the directory", os.chmod, path, 0o755)


def copy(call, source, path):
    call("stat of what is not there", os.path.lexists, path)
    fd = call("open(O_CREAT|O_EXCL)", os.open, path,
              os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    call("fstat", os.fstat, fd)
    call("write", os.write, fd, source)
    call("futimens", os.utime, fd, (1.6e9, 1.6e9))
    call("fchown", os.fchown, fd, 0, 0)
    call("fsetxattr of the ACL", set_acl, fd)
    call("fchmod", os.fchmod, fd, 0o644)
    call("close", os.close, fd)


def main(work, binaries):
    env = {k: v for k, v in os.environ.items() if k.startswith("FSP_TEST_")}
    s = subjects.Filespace(work, env, binaries, "through", "through", True)
    s.make("calls")
    s.mount()
    log = Log(env, work)
    try:
        top = os.path.join(s.root, "account/table")
        os.makedirs(top)
        # The first file finds statements that are not prepared yet.
        for n, quiet in ((1, True), (2, False)):
            call = Calls(log, 200)
            if quiet:
                out, sys.stdout = sys.stdout, open(os.devnull, "w")
            record = os.path.join(top, str(n))
            directory(call, record)
            copy(call, b"content %d" % n, os.path.join(record, "f"))
            copy(call, b"content 1", os.path.join(record, "g"))
            finish_directory(call, record)
            call("ls -l of the record", lambda: [os.lstat(e) for e in os.scandir(record)])
            call("open for reading", lambda: os.close(os.open(record + "/f", os.O_RDONLY)))
            call("rename of a file", os.rename, record + "/f", record + "/h")
            call("unlink", os.unlink, record + "/h")
            if quiet:
                sys.stdout.close()
                sys.stdout = out
        print("%d round trips, %d statements in all; the most frequent:"
              % (call.trips, call.sum))
        for sql, n in call.total.most_common(12):
            print("%5d  %s" % (n, sql[:200]))
    finally:
        meter.mariadb(env, "SET GLOBAL general_log = OFF")
        s.unmount()
        s.drop()


if __name__ == "__main__":
    main(*sys.argv[1:3])
