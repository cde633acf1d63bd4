"""What is measured: a local disk, s3fs, rclone, and filespacefs with several
settings. Each can have an empty store, mount it, forget what it has cached,
and tell when all that was written is stored."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import meter

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    out = subprocess.run([os.path.join(TOP, "tests/lib/free-ports"), "1"], check=True,
                         text=True, stdout=subprocess.PIPE).stdout
    return int(out)


def bash(script, env, *args):
    """A script with the functions of tests/lib."""
    head = ('set -e; fail() { echo "$*" >&2; exit 1; }; '
            '. "$TOP/tests/lib/servers.sh"; . "$TOP/tests/lib/store.sh"; ')
    done = subprocess.run(["bash", "-c", head + script, "bench", *args], text=True,
                          env={**os.environ, **env, "TOP": TOP},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(done.stdout.strip()[-500:])
    return done.stdout


def mounted(path):
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == path for line in f)


def drop_caches():
    """The kernel's; says whether it was allowed."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    except OSError:
        return False
    return True


class Mount:
    """A daemon in the foreground, our child."""

    def __init__(self, command, point, log, env=None):
        os.makedirs(point, exist_ok=True)
        self.point = point
        self.log = open(log, "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log,
                                        env={**os.environ, **(env or {})})
        end = time.monotonic() + 60
        while not (mounted(point) and self.answers()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("no mount: " + self.tail(log))
            time.sleep(0.01)

    def answers(self):
        try:
            os.listdir(self.point)
        except OSError:
            return False
        return True

    @staticmethod
    def tail(log):
        with open(log, errors="replace") as f:
            return f.read()[-300:].strip()

    def peak(self):
        return meter.peak_kb(self.process.pid)

    def end(self):
        """Returns the most memory that it had, in KB."""
        peak = self.peak()
        subprocess.run(["umount", self.point], stderr=subprocess.DEVNULL)
        if mounted(self.point):
            subprocess.run(["umount", "-l", self.point], stderr=subprocess.DEVNULL)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.log.close()
        return peak


class Subject:
    """Stores have a name; the work directory holds everything."""
    name = label = ""
    ours = False
    on_s3 = on_mysql = False

    def __init__(self, work, env, binaries):
        self.work = os.path.join(work, self.name)
        self.env, self.binaries = env, binaries
        self.main = self.other = None
        self.peak = 0
        self.why_not = None
        os.makedirs(self.work, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    @property
    def root(self):
        return self.path("mnt")

    def make(self, name):
        """An empty store, which is from now on the one."""
        raise NotImplementedError

    def drop(self):
        """The store and all that is in it goes."""

    def daemon(self, which):
        """The command of a mount, its environment; caches of its own."""
        raise NotImplementedError

    def start(self, which="mnt"):
        command, env = self.daemon(which)
        return Mount(command, self.path(which), self.path(which + ".log"), env)

    def mount(self):
        self.main = self.start()

    def second(self):
        """Where another mount of the same store is."""
        self.other = self.start("mnt2")
        return self.path("mnt2")

    def end_second(self):
        if self.other:
            self.peak = max(self.peak, self.other.end())
        self.other = None

    def unmount(self):
        self.end_second()
        if self.main:
            self.peak = max(self.peak, self.main.end())
        self.main = None

    def cold(self):
        self.settle()
        self.unmount()
        for which in ("mnt", "mnt2"):
            shutil.rmtree(self.path(which + ".cache"), ignore_errors=True)
        self.forget()
        drop_caches()
        self.mount()

    def forget(self):
        """Caches elsewhere than in our work directory."""

    def settle(self):
        """Waits until all is stored."""

    def stored(self):
        """Bytes."""
        raise NotImplementedError


class Disk(Subject):
    name, label = "disk", "local disk"

    def make(self, name):
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)

    def drop(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def mount(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.work], text=True,
                              stdout=subprocess.PIPE).stdout.strip()
        self.label = "disk " + kind.replace("ext2/ext3", "ext4")

    def second(self):
        return self.root

    def settle(self):
        subprocess.run(["sync", "-f", self.root], check=True)

    def stored(self):
        out = subprocess.run(["du", "-s", "-B1", self.root], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        return int(out.split()[0])


class Bucket(Subject):
    """One that has files as objects in a bucket."""
    on_s3 = True

    def make(self, name):
        self.bucket = "%s-%s" % (self.name, name)
        bash('s3_make_bucket "$1"', self.env, self.bucket)

    def drop(self):
        bash('rgw_admin "$FSP_TEST_S3_DIR" bucket rm --bucket="$1" '
             '--purge-objects --bypass-gc', self.env, self.bucket)

    def stored(self):
        out = bash('s3_list "$1"', self.env, self.bucket)
        return sum(int(line.rsplit(" ", 1)[1]) for line in out.splitlines())


class S3fs(Bucket):
    name, label = "s3fs", "s3fs"

    def daemon(self, which):
        secret = self.path("passwd")
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("%s:%s\n" % (self.env["FSP_TEST_S3_ACCESS_KEY"],
                                 self.env["FSP_TEST_S3_SECRET_KEY"]))
        os.makedirs(self.path(which + ".cache"), exist_ok=True)
        options = ["passwd_file=" + secret, "url=" + self.env["FSP_TEST_S3_ENDPOINT"],
                   "use_path_request_style", "use_cache=" + self.path(which + ".cache"),
                   "enable_noobj_cache", "multireq_max=30", "parallel_count=10",
                   "multipart_size=16", "max_stat_cache_size=200000",
                   "stat_cache_expire=900"]
        return (["s3fs", self.bucket, self.path(which), "-f"] +
                [w for o in options for w in ("-o", o)], None)


class Rclone(Bucket):
    name, label = "rclone", "rclone full"

    def daemon(self, which):
        self.port = {**getattr(self, "port", {}), which: free_port()}
        env = {"RCLONE_CONFIG": self.path("no.conf"),
               "RCLONE_CONFIG_S_TYPE": "s3", "RCLONE_CONFIG_S_PROVIDER": "Ceph",
               "RCLONE_CONFIG_S_ENDPOINT": self.env["FSP_TEST_S3_ENDPOINT"],
               "RCLONE_CONFIG_S_ACCESS_KEY_ID": self.env["FSP_TEST_S3_ACCESS_KEY"],
               "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": self.env["FSP_TEST_S3_SECRET_KEY"]}
        open(self.path("no.conf"), "a").close()
        return (["rclone", "mount", "s:" + self.bucket, self.path(which),
                 "--vfs-cache-mode", "full", "--vfs-write-back", "0s",
                 "--cache-dir", self.path(which + ".cache"), "--transfers", "8",
                 "--vfs-fast-fingerprint", "--s3-no-check-bucket", "--rc",
                 "--rc-no-auth", "--rc-addr", "127.0.0.1:%d" % self.port[which]], env)

    def settle(self):
        for which, mount in (("mnt", self.main), ("mnt2", self.other)):
            while mount and (self.dirty(which) or self.waiting(self.port[which])):
                time.sleep(0.01)

    def dirty(self, which):
        """What was closed a moment ago may not be queued yet, but it is marked
        in the cache's own records from the first write until it is stored."""
        top = self.path(which + ".cache", "vfsMeta")
        return os.path.isdir(top) and subprocess.run(
            ["grep", "-rqsE", '"Dirty": ?true', top]).returncode == 0

    @staticmethod
    def waiting(port):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        c.request("POST", "/vfs/stats", "{}", {"Content-Type": "application/json"})
        stats = json.loads(c.getresponse().read())
        c.close()
        if "diskCache" not in stats:
            raise RuntimeError("rclone says: %s" % stats)
        cache = stats["diskCache"]
        return cache["uploadsInProgress"] + cache["uploadsQueued"]


class Filespace(Subject):
    """settings: (pattern of a setting's name, values of which the first that
    is accepted is taken)."""
    ours = True

    def __init__(self, work, env, binaries, name, label, servers, settings=()):
        self.name, self.label = name, label
        self.on_s3 = self.on_mysql = servers
        super().__init__(work, env, binaries)
        self.options = []
        for pattern, values in settings:
            self.find(pattern, values)
        self.compression = [o for o in self.options if "compression" in o]
        self.compression = self.compression[0] if self.compression else ""

    def ctl(self, *args):
        return subprocess.run([os.path.join(self.binaries, "filespacectl"), *args],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def find(self, pattern, values):
        probe = self.path("probe")
        if not os.path.exists(probe):
            self.ctl("-s", probe, "init")
        known = json.loads(self.ctl("-s", probe, "--json", "config").stdout)
        names = ["%s.%s" % (s["section"], s["key"]) for s in known["settings"]]
        for name in names:
            for value in values:
                option = "%s=%s" % (name, value)
                if (re.search(pattern, name) and
                        self.ctl("-s", probe, "-o", option, "config").returncode == 0):
                    self.options.append(option)
                    return
        self.why_not = "not built"

    def make(self, name):
        self.store = self.path("store-" + name)
        self.scratch = self.path("scratch-" + name)
        os.makedirs(self.scratch, exist_ok=True)
        bash('store_init "$@"', self.shell_env(), self.store,
             *[w for o in self.options for w in ("-o", o)])

    def shell_env(self):
        return {**self.env, "WORK": self.scratch, "TEST_NAME": self.name,
                "CTL": os.path.join(self.binaries, "filespacectl"),
                "FSP_BACKEND": "servers" if self.on_mysql else "embedded"}

    def drop(self):
        bash("stores_drop", self.shell_env())
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def database(self):
        return bash('conf_value "$1" mysql database', self.shell_env(),
                    self.store).strip()

    def daemon(self, which):
        return ([os.path.join(self.binaries, "filespacefs"), "-f", self.store,
                 self.path(which)], None)

    def forget(self):
        shutil.rmtree(os.path.join(self.store, "cache"), ignore_errors=True)

    def settle(self):
        if self.name != "back" or not self.main:
            return
        # What waits is in this line; counting rows would cost the database more
        # than what is measured.
        while b"wait to be stored" in os.getxattr(self.root, "user.filespace.health"):
            time.sleep(0.02)

    def one_read_kb(self, kind):
        """What an isolated read of 4 KB may take at most."""
        small = "zstd" in self.compression or ("auto" in self.compression and
                                               kind == "noise")
        return 256 if small else 2000

    def stored(self):
        out = bash('object_list "$1"', self.shell_env(), self.store)
        return sum(int(line.split()[1]) for line in out.splitlines())


WRITE_BACK = (r"write_?back|\.write$|write_mode|\.commit$", ("back", "yes"))
COMPRESSION = r"compression"


def all_subjects(work, env, binaries):
    def ours(*args):
        return Filespace(work, env, binaries, *args)
    return [
        Disk(work, env, binaries), S3fs(work, env, binaries), Rclone(work, env, binaries),
        ours("embedded", "embedded", False),
        ours("through", "through", True),
        ours("back", "back", True, [WRITE_BACK]),
        ours("zstd", "zstd", True, [(COMPRESSION, ("zstd",))]),
        ours("auto", "auto", True, [(COMPRESSION, ("auto",))]),
    ]
