"""What the servers and the daemons say that was asked of them.

The gateway's log has a line for each request, whoever made it; MariaDB counts
the statements. A mount of ours tells its own share, too.
"""
import json
import os
import re
import subprocess
import time

BEAST = re.compile(r'beast: .*? "([A-Z]+) /([^ ]*) HTTP/1\.1" (\d+) (\d+) ')
TRAFFIC = re.compile(r"(\d+) (reads|writes|again|round trips|put|get|head|del|list|bytes down)")


def mariadb(env, sql, database=None):
    command = ["mariadb", "--no-defaults", "--socket=" + env["FSP_TEST_MYSQL_SOCKET"],
               "--batch", "--raw", "--skip-column-names"]
    if database:
        command.append(database)
    return subprocess.run(command, input=sql, text=True, check=True,
                          stdout=subprocess.PIPE).stdout


class Gateway:
    """Requests since the last look, from the end of the log."""

    def __init__(self, env):
        self.path = os.path.join(env["FSP_TEST_S3_DIR"], "log", "client.rgw.a.log")
        self.at = 0
        self.take()

    def take(self):
        out, self.at = self.look()
        return out

    def look(self):
        """What take() would say, and where the next one would begin."""
        time.sleep(0.05)                # its log is written by a thread
        with open(self.path, "rb") as f:
            f.seek(self.at)
            text = f.read()
        end = text.rfind(b"\n") + 1
        out = {"put": 0, "get": 0, "head": 0, "delete": 0, "post": 0, "list": 0,
               "get_bytes": 0}
        for m in BEAST.finditer(text[:end].decode(errors="replace")):
            method = m[1].lower()
            if method == "get" and ("list-type" in m[2] or "delimiter" in m[2] or
                                    "prefix=" in m[2] or "/" not in m[2].rstrip("/")):
                method = "list"
            out[method] = out.get(method, 0) + 1
            if method == "get":
                out["get_bytes"] += int(m[4])
        return out, self.at + end


class Database:
    """Statements and commits since the last look, without those of the look."""

    NAMES = ("Questions", "Com_commit", "Innodb_log_writes", "Innodb_data_fsyncs")

    def __init__(self, env):
        self.env = env
        self.last = self.look()

    def look(self):
        text = mariadb(self.env, "SHOW GLOBAL STATUS WHERE Variable_name IN ('%s')"
                       % "','".join(self.NAMES))
        return {k: int(v) for k, v in (line.split("\t") for line in text.splitlines())}

    def take(self):
        now = self.look()
        out = {"statements": now["Questions"] - self.last["Questions"] - 2,
               "commits": now["Com_commit"] - self.last["Com_commit"],
               "log_writes": now["Innodb_log_writes"] -
               self.last["Innodb_log_writes"],
               "data_fsyncs": now["Innodb_data_fsyncs"] -
               self.last["Innodb_data_fsyncs"]}
        self.last = now
        return out


def traffic(mountpoint):
    """What a mount of ours has asked of its servers since it began."""
    try:
        text = os.getxattr(mountpoint, "user.filespace.traffic").decode()
    except OSError:
        return None
    return {name.replace(" ", "_"): int(n) for n, name in TRAFFIC.findall(text)}


def difference(after, before):
    if after is None or before is None:
        return None
    return {k: v - before.get(k, 0) for k, v in after.items()}


def peak_kb(pid):
    """The most memory that a process has had resident."""
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class Tool:
    """tests/tools/benchio."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *args, lines=None, timeout=1800):
        text = None if lines is None else "".join(l + "\n" for l in lines)
        done = subprocess.run([self.path, *map(str, args)], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout)
        if done.returncode:
            raise RuntimeError("benchio %s: %s" % (args[0], done.stderr.strip()))
        return json.loads(done.stdout)
