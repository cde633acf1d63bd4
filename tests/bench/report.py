"""The tables, the file for programs, and the plots."""
import json
import os
import platform
import shutil
import subprocess

import limits
import phases
import subjects

PEERS = ("s3fs", "rclone")


def number(value):
    if value is None:
        return "-"
    if value >= 100:
        return "%.0f" % value
    if value >= 10:
        return "%.1f" % value
    return "%.2f" % value if value >= 0.1 else "%.4f" % value


def ratio(value, base):
    return "%.2f" % (value / base) if value is not None and base else "-"


def table(head, lines):
    """The first column to the left, the others to the right."""
    width = [max(len(str(l[i])) for l in [head] + lines) for i in range(len(head))]
    out = []
    for line in [head] + lines:
        cells = [str(line[0]).ljust(width[0])]
        cells += [str(c).rjust(w) for c, w in zip(line[1:], width[1:])]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "-" * len(out[0]))
    return "\n".join(out)


def title(key, quick):
    text, unit = phases.PHASES[key]
    if quick:
        text = text.replace("200 MB", "32 MB").replace("10,000", "1,000")
        text = text.replace("a million", "100,000")
    return "%s, %s" % (text, unit)


def keys(medians, bench):
    seen = {r["phase"] for r in bench.results}
    return [k for k in phases.PHASES if k in medians or k in seen]


def figures(bench, medians, limit):
    names = [s for s in bench.subjects if not s.why_not]
    lines = []
    for key in keys(medians, bench):
        by = medians.get(key, {})
        lines.append([title(key, bench.options.quick)] +
                     [number(by.get(s.name)) for s in names] + [number(limit.get(key))])
    return table(["median"] + [s.label for s in names] + ["limit"], lines)


def ratios(bench, medians, limit):
    """Ours to the best peer and to the limit: below 1 is ahead."""
    ours = [s for s in bench.subjects if s.ours and not s.why_not]
    if not ours:
        return ""
    lines = []
    for key in keys(medians, bench):
        by = medians.get(key, {})
        best = min((by[p] for p in PEERS if p in by), default=None)
        name = next((p for p in PEERS if best is not None and by.get(p) == best), "-")
        line = [title(key, bench.options.quick), name]
        for s in ours:
            line += [ratio(by.get(s.name), best),
                     ratio(by.get(s.name),
                           limit.get(key) if limits.applies(key, s) else None)]
        lines.append(line)
    head = ["ratio", "peer"]
    for s in ours:
        head += [s.label + "/peer", "/limit"]
    return table(head, lines)


def requests(bench):
    """What each phase asked of the servers, in its last round."""
    lines = []
    last = {}
    for r in bench.results:
        if r["counted"].get("s3") is not None:
            last[r["phase"], r["subject"]] = r["counted"]
    for key in phases.PHASES:
        for s in bench.subjects:
            counted = last.get((key, s.name))
            if counted is None:
                continue
            c, d, m = counted["s3"], counted.get("database", {}), counted.get("mount") or {}
            lines.append([title(key, bench.options.quick), s.label, c["put"] + c["post"],
                          c["get"], "%.1f" % (c["get_bytes"] / 1e6), c["head"],
                          c["delete"], c["list"], d.get("statements", "-"),
                          d.get("commits", "-"), m.get("round_trips", "-")])
    return table(["asked of the servers", "by", "PUT", "GET", "GET MB", "HEAD", "DEL",
                  "LIST", "SQL", "COMMIT", "trips"], lines)


def notes(bench):
    """Each note once, with the phases that it is about."""
    about = {}
    for r in bench.results:
        if r["note"]:
            about.setdefault((r["subject"], r["note"]), {})[r["phase"]] = True
    return "\n".join(["%s: %s" % (s.name, s.why_not) for s in bench.subjects if s.why_not] +
                     ["%s: %s (%s)" % (subject, note.replace("\n", " "), " ".join(about[key]))
                      for key in about for subject, note in [key]])


def machine():
    with open("/proc/meminfo") as f:
        memory = next(l.split()[1] for l in f if l.startswith("MemTotal"))
    return {"cpus": os.cpu_count(), "memory_kb": int(memory),
            "kernel": platform.release(),
            "caches_dropped": subjects.drop_caches(),
            "versions": {n: version(n) for n in ("s3fs", "rclone", "radosgw", "mariadbd")}}


def version(program):
    done = subprocess.run([program, "--version"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return (done.stdout.splitlines() or [""])[0][:100]


def plot(bench, medians, limit, unit, path):
    """Bars for each phase of a unit, on a logarithmic scale."""
    chosen = [k for k in phases.PHASES if k in medians and phases.PHASES[k][1] == unit]
    names = [s for s in bench.subjects if any(s.name in medians[k] for k in chosen)]
    if not chosen or not shutil.which("gnuplot"):
        return
    rows = path[:-4] + ".dat"
    with open(rows, "w") as f:
        f.write("\t".join(["phase"] + [s.label for s in names] + ["limit"]) + "\n")
        for key in chosen:
            values = [medians[key].get(s.name) for s in names] + [limit.get(key)]
            f.write("\t".join([key] + ["?" if not v else "%g" % v for v in values]) + "\n")
    script = """
set terminal svg size %d,520 font 'sans,11' background 'white'
set output '%s'
set datafile separator '\\t'
set datafile missing '?'
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8 noborder
set logscale y
set ylabel '%s, logarithmic; less is better'
set xtics rotate by -35
set grid y
set key outside right top
set yrange [%g:*]
plot for [i=2:%d] '%s' using i:xtic(1) title columnheader(i)
""" % (300 + 110 * len(chosen), path, unit, smallest(medians, chosen) / 3,
        len(names) + (2 if any(k in limit for k in chosen) else 1), rows)
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def smallest(medians, chosen):
    return min(v for k in chosen for v in medians[k].values() if v) or 1


def loads(bench):
    """More than one for a subject alone means that others were at work."""
    if not bench.loads:
        return "-"
    return "%.1f to %.1f" % (min(bench.loads), max(bench.loads))


def for_programs(bench, medians, limit, options):
    os.makedirs(options.out, exist_ok=True)
    tree = bench.data.tree
    with open(os.path.join(options.out, "results.json"), "w") as f:
        json.dump({"machine": bench.machine, "loads": bench.loads, "rounds": options.rounds,
                   "quick": options.quick,
                   "tree": {"files": len(tree.files), "bytes": tree.bytes,
                            "unique_bytes": tree.unique_bytes},
                   "large_bytes": bench.data.text.size, "limits": bench.limits,
                   "limit_of_phase": limit, "medians": medians,
                   "results": bench.results}, f, indent=1)


def write(bench, medians, limit, options):
    text = "\n\n".join(filter(None, [
        figures(bench, medians, limit), ratios(bench, medians, limit),
        requests(bench), notes(bench), "" if bench.machine["caches_dropped"] else
        "NOT COLD: the kernel's caches were not dropped; that takes root."])) + "\n"
    print(text)
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "table.txt"), "w") as f:
        f.write(text)
    for_programs(bench, medians, limit, options)
    for unit, name in (("s", "seconds"), ("ms", "milliseconds"), ("MB", "megabytes"), ("KB", "kilobytes")):
        plot(bench, medians, limit, unit, os.path.join(options.out, name + ".svg"))
    print("%d rounds; load of %d CPUs before the groups: %s; results.json, table.txt "
          "and the plots are in %s" % (options.rounds, os.cpu_count(), loads(bench),
                                       options.out))
