#!/usr/bin/env bash
# Three members of quorate beside three of genuine etcd, on this machine, in one run: the same load tool, the
# same clients, fsync on, in turn. Prints a Markdown table; docs/benchmarks.md says how to read it.
#
#   cargo build --release && benches/side-by-side.sh [ETCD_BINARY] > table.md
#
# Bounded: some 10 minutes. Listens on loopback only; ends what it started and nothing else.
set -euo pipefail

etcd=${1:-$(command -v etcd || true)}
quorate=${QUORATE:-target/release/quorate}
clients=${CLIENTS:-1 64 256 1000}
rounds=${ROUNDS:-3}
[ -x "$quorate" ] || { echo "no $quorate: run cargo build --release first" >&2; exit 1; }
[ -n "$etcd" ] && [ -x "$etcd" ] || { echo "no etcd binary: name one as the first argument" >&2; exit 1; }

work=$(mktemp -d)
pids=()
finish() {
    # One that has ended already is no mistake.
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# start NAME BASE_PORT COMMAND...: three members with client ports BASE, BASE+10, BASE+20, peer ports one above.
start() {
    local name=$1 base=$2 cluster="" i
    shift 2
    for i in 0 1 2; do cluster+="${cluster:+,}m$i=http://127.0.0.1:$((base + 10 * i + 1))"; done
    for i in 0 1 2; do
        local client="http://127.0.0.1:$((base + 10 * i))" peer="http://127.0.0.1:$((base + 10 * i + 1))"
        "$@" --name "m$i" --data-dir "$work/$name-$i" \
            --listen-client-urls "$client" --advertise-client-urls "$client" \
            --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
            --initial-cluster "$cluster" --initial-cluster-state new --quota-backend-bytes 8000000000 \
            > "$work/$name-$i.log" 2>&1 &
        pids+=($!)
    done
}

endpoints() { echo "http://127.0.0.1:$1,http://127.0.0.1:$(($1 + 10)),http://127.0.0.1:$(($1 + 20))"; }

# total OPERATION CLIENTS: calls that take a few seconds.
total() {
    case $2 in
        1) echo 4000 ;;
        *) [ "$1" = put ] && echo 60000 || echo 100000 ;;
    esac
}

measure() { # PORT OPERATION CLIENTS -> JSON
    "$quorate" bench "$2" --endpoints "$(endpoints "$1")" --clients "$3" --total "$(total "$2" "$3")" --json
}

field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

start etcd 23700 "$etcd"
start quorate 24700 "$quorate" serve
sleep 5
# Both begin with all keys in place.
for port in 23700 24700; do
    "$quorate" bench range --endpoints "$(endpoints $port)" --fill --clients 64 --total 1000 > /dev/null
done

results=$work/results.jsonl
for operation in put range; do
    for n in $clients; do
        for round in $(seq "$rounds"); do
            for port in 23700 24700; do
                echo "$operation, $n clients, round $round, port $port" >&2
                measure $port $operation "$n" | tr -d '\n' \
                    | python3 -c 'import json,sys; r=json.load(sys.stdin); r.update(op=sys.argv[1],n=int(sys.argv[2]),port=int(sys.argv[3])); print(json.dumps(r))' \
                        $operation "$n" $port >> "$results"
            done
        done
    done
done
python3 benches/table.py "$results"
