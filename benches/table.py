"""Turn the lines benches/side-by-side.sh collects into a Markdown table: medians, and ratios to etcd."""

import json
import statistics
import sys

ETCD, OURS = 23700, 24700


def median(runs, pick):
    return statistics.median(pick(run) for run in runs)


def main(path):
    runs = [json.loads(line) for line in open(path)]
    cells = {}
    for run in runs:
        cells.setdefault((run["op"], run["n"]), {}).setdefault(run["port"], []).append(run)
    print("| operation | clients | etcd per second | quorate per second | ratio | etcd p50 / p99 ms | quorate p50 / p99 ms "
          "| etcd CPU us per op | quorate CPU us per op | etcd peak MB per node | quorate peak MB per node |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (operation, clients), by_port in cells.items():
        columns = {}
        for port in (ETCD, OURS):
            group = by_port[port]
            columns[port] = {
                "rate": median(group, lambda r: r["per_second"]),
                "p50": median(group, lambda r: r["latency_us"]["p50"]) / 1000,
                "p99": median(group, lambda r: r["latency_us"]["p99"]) / 1000,
                "cpu": median(group, lambda r: r["server_cpu_us_per_op"] or 0),
                "memory": max(s["peak_memory_bytes"] for r in group for s in r["servers"]) / 1e6,
            }
        e, q = columns[ETCD], columns[OURS]
        name = "put" if operation == "put" else "linearizable range"
        print(f"| {name} | {clients} | {e['rate']:,.0f} | {q['rate']:,.0f} | {q['rate'] / e['rate']:.2f} "
              f"| {e['p50']:.2f} / {e['p99']:.1f} | {q['p50']:.2f} / {q['p99']:.1f} "
              f"| {e['cpu']:.0f} | {q['cpu']:.0f} | {e['memory']:.0f} | {q['memory']:.0f} |")


main(sys.argv[1])
