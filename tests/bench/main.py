#!/usr/bin/env python3
"""The bench: see scripts/bench, which starts the servers and calls this."""
import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import sys
import time

sys.dont_write_bytecode = True

import data                                                     # noqa: E402
import limits                                                   # noqa: E402
import meter                                                    # noqa: E402
import phases                                                   # noqa: E402
import report                                                   # noqa: E402
import s3                                                       # noqa: E402
import subjects                                                 # noqa: E402


class Measured:
    """One figure: value in the unit of its phase, note where it is not clean."""

    def __init__(self):
        self.value, self.note = None, ""


class Run:
    """What a group works with: one subject, in one round."""

    def __init__(self, bench, subject, number):
        self.bench, self.subject, self.round = bench, subject, number
        self.data, self.tool, self.env = bench.data, bench.tool, bench.env
        self.s3, self.quick = bench.s3, bench.options.quick
        self.seed = data.SEED + number
        self.results = []

    def wants(self, *keys):
        return any(self.bench.wants(k) for k in keys)

    def top(self, which):
        top = os.path.join(os.path.dirname(self.data.tree.top), which)
        return [os.path.join(top, name) for name in sorted(os.listdir(top))]

    def sql(self, text):
        meter.mariadb(self.env, text, self.subject.database())

    def fetched(self):
        """Bytes of objects so far; of the gateway since the phase began."""
        if self.subject.ours:
            return meter.traffic(self.subject.root)["bytes_down"]
        return self.bench.gateway.look()[0]["get_bytes"] if self.subject.on_s3 else 0

    def put(self, key, value, note=""):
        m = Measured()
        m.value, m.note = value, note
        self.keep(key, m, {})

    def refuse(self, key, why):
        self.put(key, None, why)

    def keep(self, key, measured, counted):
        self.results.append((key, measured, counted))

    @contextlib.contextmanager
    def measure(self, key):
        """Counts what the servers are asked for meanwhile. The value is what
        the caller has timed."""
        before = meter.traffic(self.subject.root) if self.subject.ours else None
        self.bench.gateway.take()
        self.bench.database.take()
        m = Measured()
        try:
            yield m
        except OSError as e:
            m.note = "failed: %s" % e.strerror
        counted = {}
        if self.subject.on_s3:
            counted["s3"] = self.bench.gateway.take()
        if self.subject.on_mysql:
            counted["database"] = self.bench.database.take()
        if self.subject.ours:
            counted["mount"] = meter.difference(meter.traffic(self.subject.root), before)
        self.keep(key, m, counted)


class Bench:
    def __init__(self, options):
        self.options = options
        self.env = {k: v for k, v in os.environ.items() if k.startswith("FSP_TEST_")}
        self.results, self.limits, self.loads = [], [], []
        self.data = data.Data(os.path.join(options.work, "data"), options.quick)
        phases.second_tree(self.data.tree)
        self.machine = report.machine()
        self.tool = meter.Tool(os.path.join(options.binaries, "tools", "benchio"))
        self.gateway = meter.Gateway(self.env)
        self.database = meter.Database(self.env)
        self.s3 = s3.S3(self.env)
        meter.mariadb(self.env, "SET GLOBAL innodb_buffer_pool_size = 536870912")
        self.subjects = subjects.all_subjects(options.work, self.env, options.binaries)
        if options.subjects:
            wanted = options.subjects.split(",")
            known = [s.name for s in self.subjects]
            if set(wanted) - set(known):
                sys.exit("bench: the subjects are " + " ".join(known))
            self.subjects = [s for s in self.subjects if s.name in wanted]

    def wants(self, key):
        if key == "huge-first" and not self.options.huge:
            return False
        return re.search(self.options.phases, key) is not None

    def groups(self):
        return [g for g, keys in phases.GROUPS.items()
                if any(self.wants(k) for k in keys)]

    def one(self, group, subject, number):
        run = Run(self, subject, number)
        name = "%s-%d" % (group, number)
        error = ""
        try:
            subject.make(name)
            subject.mount()
            phases.FUNCTIONS[group](run)
            subject.settle()
        except Exception as e:          # one subject's failure is a result
            error = "failed: %s: %s" % (type(e).__name__, str(e)[:200])
            print("   %s %s: %s" % (subject.label, group, error), file=sys.stderr)
        finally:
            subject.unmount()
            self.take(run, subject, number)
            self.drop(subject)
        missing = set(k for k in phases.GROUPS[group] if self.wants(k)) - \
            set(r[0] for r in run.results)
        for key in missing if error else ():
            self.result(key, subject, number, None, error, {})

    @staticmethod
    def drop(subject):
        try:
            subject.drop()
        except (RuntimeError, OSError) as e:
            print("   %s: what it had stored stays: %s" % (subject.label, e),
                  file=sys.stderr)

    def take(self, run, subject, number):
        for key, m, counted in run.results:
            if self.wants(key):
                self.result(key, subject, number, m.value, m.note, counted)

    def result(self, key, subject, number, value, note, counted):
        if "WRONG" in note:
            value = None                # no figure comes from a wrong result
        self.results.append({"phase": key, "subject": subject.name, "round": number,
                             "value": value, "unit": phases.PHASES[key][1],
                             "note": note, "counted": counted})

    def all(self):
        for number in range(1, self.options.rounds + 1):
            if not self.options.no_limits:
                print("round %d: limits" % number, file=sys.stderr, flush=True)
                run = Run(self, self.subjects[0], number)
                self.limits.append(limits.measure(
                    run, self.options.work,
                    os.path.join(self.options.binaries, "tools", "sqltime"), number))
            for group in self.groups():
                self.group(group, number)
                medians = self.medians()
                report.for_programs(self, medians, self.limit(medians), self.options)
        for s in self.subjects:
            if s.peak and self.wants("memory"):
                self.result("memory", s, 0, s.peak / 1024, "", {})

    def group(self, group, number):
        shift = (number - 1) % len(self.subjects)       # nobody is always first
        for subject in self.subjects[shift:] + self.subjects[:shift]:
            if subject.why_not:
                continue
            start = time.monotonic()
            self.loads.append(os.getloadavg()[0])
            self.one(group, subject, number)
            print("round %d: %-8s %-10s %6.1f s" % (
                number, group, subject.name, time.monotonic() - start),
                file=sys.stderr, flush=True)

    def medians(self):
        out = {}
        for r in self.results:
            if r["value"] is not None:
                out.setdefault(r["phase"], {}).setdefault(r["subject"], []).append(r["value"])
        return {p: {s: statistics.median(v) for s, v in by.items()}
                for p, by in out.items()}

    def limit(self, medians):
        if not self.limits:
            return {}
        lim = {k: statistics.median(l[k] for l in self.limits) for k in self.limits[0]}
        disk = {p: by["disk"] for p, by in medians.items() if "disk" in by}
        return limits.of_phase(lim, disk, len(self.data.tree.files))


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench")
    p.add_argument("-r", "--rounds", type=int, default=None, help="default 3")
    p.add_argument("-p", "--phases", default="", metavar="PATTERN")
    p.add_argument("-s", "--subjects", default="", metavar="NAME,NAME")
    p.add_argument("--quick", action="store_true",
                   help="one round, 32 MB for 200, fewer files and rows")
    p.add_argument("--huge", action="store_true", help="with a file of 10 GB")
    p.add_argument("--no-limits", action="store_true")
    p.add_argument("--work", required=True, help=argparse.SUPPRESS)
    p.add_argument("--out", required=True, help=argparse.SUPPRESS)
    p.add_argument("--binaries", required=True, help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    return options


def main():
    options = arguments()
    # What was measured until then is told all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    try:
        bench.all()
    finally:
        for s in bench.subjects:
            s.unmount()
        medians = bench.medians()
        report.write(bench, medians, bench.limit(medians), options)
    wrong = [r for r in bench.results if "WRONG" in r["note"] or
             r["note"].startswith("failed")]
    return 1 if any(r["subject"] not in ("s3fs", "rclone") for r in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
