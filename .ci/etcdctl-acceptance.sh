#!/usr/bin/env bash
# What etcd's own command-line client must see, against every endpoint of a running cluster.
#
#   .ci/etcdctl-acceptance.sh ETCDCTL ENDPOINT,ENDPOINT,...
#
# Outputs are compared, not only exit codes. What is expected holds for etcd as well as for Quorate: run against a
# genuine etcd cluster, the script must pass too, which is how its expectations are kept honest. It writes under a
# prefix of its own, compacts the store up to its own writes, and leaves nothing behind.
set -euo pipefail

etcdctl=${1:?usage: etcdctl-acceptance.sh ETCDCTL ENDPOINT,...}
all=${2:?usage: etcdctl-acceptance.sh ETCDCTL ENDPOINT,...}
IFS=, read -ra endpoints <<<"$all"
export ETCDCTL_API=3
scratch=$(mktemp -d)
watcher=
passed=0

cleanup() {
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# ctl WORD...: the client, against the endpoint in hand.
ctl() {
    "$etcdctl" --endpoints "$endpoint" --command-timeout 20s "$@"
}

fail() {
    printf 'FAILED at %s: %s\n' "$endpoint" "$1" >&2
    exit 1
}

# same WHAT WANTED SEEN
same() {
    if [ "$2" != "$3" ]; then
        fail "$1"$'\n--- wanted\n'"$2"$'\n--- seen\n'"$3"
    fi
    passed=$((passed + 1))
}

# like WHAT REGEX SEEN: the whole text matches.
like() {
    if ! [[ $3 =~ ^($2)$ ]]; then
        fail "$1"$'\n--- wanted, as a pattern\n'"$2"$'\n--- seen\n'"$3"
    fi
    passed=$((passed + 1))
}

# refused WHAT TEXT WORD...: the client fails, and says this.
refused() {
    local what=$1 text=$2 seen
    shift 2
    if seen=$(ctl "$@" 2>&1); then
        fail "$what: not refused: $seen"
    fi
    [[ $seen == *"$text"* ]] || fail "$what: refused with other words than \"$text\": $seen"
    passed=$((passed + 1))
}

# eventually WHAT WANTED WORD...: within some seconds, the client prints this.
eventually() {
    local what=$1 wanted=$2 seen= tries
    shift 2
    for tries in $(seq 100); do
        seen=$(ctl "$@" 2>&1) || true
        [ "$seen" != "$wanted" ] || break
        sleep 0.1
    done
    same "$what" "$wanted" "$seen"
}

# lines FILE COUNT: waits until a watcher has printed this much.
lines() {
    local tries
    for tries in $(seq 150); do
        [ "$(wc -l <"$1")" -lt "$2" ] || return 0
        sleep 0.1
    done
    fail "a watcher printed less than $2 lines"$'\n'"$(cat "$1")"
}

# watch FILE WORD...: a watcher in the background.
watch() {
    local out=$1
    shift
    : >"$out"
    # Not through `ctl`: its process, not a shell around it, is what unwatch must end.
    "$etcdctl" --endpoints "$endpoint" watch "$@" >"$out" 2>&1 &
    watcher=$!
}

unwatch() {
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    watcher=
}

# The store's revision, as a linearizable read tells it.
revision() {
    ctl get "$p/none" -w json | grep -o '"revision":[0-9]*' | head -n 1 | cut -d: -f2
}

puts_and_gets() {
    local rev
    same 'put' 'OK' "$(ctl put "$p/a" 1)"
    rev=$(revision)
    same 'put with the previous value' $'OK\n'"$p/a"$'\n1' "$(ctl put "$p/a" 2 --prev-kv)"
    for key in b c d; do ctl put "$p/$key" "v$key" >/dev/null; done
    same 'get' "$p/a"$'\n2' "$(ctl get "$p/a")"
    same 'get of nothing' '' "$(ctl get "$p/none")"
    same 'get, value only' '2' "$(ctl get "$p/a" --print-value-only)"
    same 'get, serializable' 'OK' "$(eventually_serializable)"
    same 'get at a revision' "$p/a"$'\n1' "$(ctl get "$p/a" --rev "$rev")"
    same 'get with a prefix' "$p/a"$'\n2\n'"$p/b"$'\nvb\n'"$p/c"$'\nvc\n'"$p/d"$'\nvd' "$(ctl get "$p/" --prefix)"
    same 'get of a range' "$p/b"$'\nvb\n'"$p/c"$'\nvc' "$(ctl get "$p/b" "$p/d")"
    same 'get from a key on, limited' "$p/c"$'\n'"$p/d" "$(ctl get "$p/c" --from-key --keys-only --limit 2 | grep .)"
    same 'get, keys only' "$p/a"$'\n\n'"$p/b"$'\n\n'"$p/c"$'\n\n'"$p/d" "$(ctl get "$p/" --prefix --keys-only)"
    same 'get with a limit' "$p/a"$'\n2\n'"$p/b"$'\nvb' "$(ctl get "$p/" --prefix --limit 2)"
    same 'get, sorted downwards' "$p/d $p/c $p/b $p/a" "$(ctl get "$p/" --prefix --keys-only --order DESCEND --sort-by KEY | grep . | xargs)"
    same 'get, sorted by version' "$p/b $p/c $p/d $p/a" "$(ctl get "$p/" --prefix --keys-only --order ASCEND --sort-by VERSION | grep . | xargs)"
    same 'get, sorted by modification' "$p/a $p/b" "$(ctl get "$p/" --prefix --keys-only --order ASCEND --sort-by MODIFY --limit 2 | grep . | xargs)"
    like 'get as JSON' '\{"header":\{.*"kvs":\[\{"key":"[^"]+","create_revision":'"$rev"',"mod_revision":'$((rev + 1))',"version":2,"value":"Mg=="\}\],"count":1\}' "$(ctl get "$p/a" -w json)"
    refused 'get at a revision to come' 'required revision is a future revision' get "$p/a" --rev $((rev + 100000))
    refused 'put with a lease that is none' 'requested lease not found' put "$p/a" x --lease 7fffffff
    refused 'put on no key' 'key is not provided' put '' x
}

# A serializable read may lag on a follower; it must arrive.
eventually_serializable() {
    local tries
    for tries in $(seq 50); do
        if [ "$(ctl get "$p/a" --consistency s)" = "$p/a"$'\n2' ]; then
            echo OK
            return
        fi
        sleep 0.1
    done
    echo 'never the value that was put'
}

deletes() {
    same 'del' '1' "$(ctl del "$p/a")"
    same 'del of nothing' '0' "$(ctl del "$p/a")"
    same 'del of a range' '2' "$(ctl del "$p/b" "$p/d")"
    same 'del with the previous value' $'1\n'"$p/d"$'\nvd' "$(ctl del "$p/d" --prev-kv)"
    ctl put "$p/x/1" 1 >/dev/null
    ctl put "$p/x/2" 2 >/dev/null
    same 'del with a prefix' '2' "$(ctl del "$p/x/" --prefix)"
    same 'get after del' '' "$(ctl get "$p/" --prefix)"
}

transactions() {
    ctl put "$p/t" 1 >/dev/null
    local script='value("'"$p/t"'") = "1"
version("'"$p/t"'") > "0"

put '"$p/t"' 2
get '"$p/t"'
del '"$p/none"'

put '"$p/t"' never

'
    same 'txn that succeeds' $'SUCCESS\n\nOK\n\n'"$p/t"$'\n2\n\n0' "$(ctl txn <<<"$script")"
    script='mod("'"$p/t"'") = "1"

put '"$p/t"' never

get '"$p/t"'

'
    same 'txn that fails' $'FAILURE\n\n'"$p/t"$'\n2' "$(ctl txn <<<"$script")"
    same 'get after txn' "$p/t"$'\n2' "$(ctl get "$p/t")"
    script='

put '"$p/t"' a
put '"$p/t"' b


'
    local seen
    if seen=$(ctl txn <<<"$script" 2>&1); then fail "a key put twice in a txn: $seen"; fi
    like 'txn that puts a key twice' '.*duplicate key given in txn request.*' "$(tr '\n' ' ' <<<"$seen")"
}

watches() {
    local from out=$scratch/watch
    from=$(($(revision) + 1))
    ctl put "$p/w/1" old >/dev/null
    ctl put "$p/w/1" new >/dev/null
    watch "$out" "$p/w/" --prefix --rev "$from" --prev-kv
    lines "$out" 8
    ctl put "$p/w/2" late >/dev/null
    ctl del "$p/w/1" >/dev/null
    lines "$out" 16
    unwatch
    local wanted="PUT||$p/w/1|old|PUT|$p/w/1|old|$p/w/1|new|PUT||$p/w/2|late|DELETE|$p/w/1|new|$p/w/1||"
    # The empty lines differ between releases of the client: they are not compared.
    same 'watch with history and previous values' "$(tr -s '|' <<<"$wanted")" "$(tr '\n' '|' <"$out" | tr -s '|')"

    watch "$out" "$p/w/3"
    # What is put before the watch stands is not its business: put until it has seen one.
    local tries
    for tries in $(seq 100); do
        ctl put "$p/w/3" live >/dev/null
        [ ! -s "$out" ] || break
    done
    lines "$out" 3
    unwatch
    same 'watch without history' "PUT|$p/w/3|live|" "$(head -n 3 "$out" | tr '\n' '|')"
}

leases() {
    local granted id out=$scratch/watch from
    granted=$(ctl lease grant 300)
    like 'lease grant' 'lease [0-9a-f]{1,16} granted with TTL\(300s\)' "$granted"
    id=$(cut -d' ' -f2 <<<"$granted")
    same 'put with a lease' 'OK' "$(ctl put "$p/l/1" x --lease "$id")"
    ctl put "$p/l/2" x --lease "$id" >/dev/null
    like 'lease timetolive' "lease $id granted with TTL\(300s\), remaining\((299|300)s\)" "$(ctl lease timetolive "$id")"
    like 'lease timetolive with keys' "lease $id granted with TTL\(300s\), remaining\((29[89]|300)s\), attached keys\(\[($p/l/1 $p/l/2|$p/l/2 $p/l/1)\]\)" "$(ctl lease timetolive "$id" --keys)"
    like 'lease keep-alive' "lease $id keepalived with TTL\(300\)" "$(ctl lease keep-alive --once "$id")"
    like 'lease list' ".*$id.*" "$(ctl lease list | tr '\n' ' ')"
    same 'lease revoke' "lease $id revoked" "$(ctl lease revoke "$id")"
    same 'get after lease revoke' '' "$(ctl get "$p/l/" --prefix)"
    like 'lease timetolive after revoke' "lease $id already expired" "$(ctl lease timetolive "$id")"
    refused 'lease revoke of nothing' 'requested lease not found' lease revoke "$id"

    from=$(($(revision) + 1))
    id=$(ctl lease grant 2 | cut -d' ' -f2)
    ctl put "$p/l/3" short --lease "$id" >/dev/null
    watch "$out" "$p/l/3" --rev "$from"
    lines "$out" 5
    unwatch
    same 'watch of a lease that expires' "PUT|$p/l/3|short|DELETE|$p/l/3|" "$(head -n 5 "$out" | tr '\n' '|')"
    same 'get after a lease expired' '' "$(ctl get "$p/l/3")"
    like 'lease timetolive after expiry' "lease $id already expired" "$(ctl lease timetolive "$id")"
}

compaction() {
    local before now
    ctl put "$p/k" 1 >/dev/null
    before=$(revision)
    ctl put "$p/k" 2 >/dev/null
    now=$(revision)
    same 'compaction' "compacted revision $now" "$(ctl compaction "$now")"
    refused 'get of a compacted revision' 'required revision has been compacted' get "$p/k" --rev "$before"
    refused 'compaction again' 'required revision has been compacted' compaction "$before"
    refused 'compaction to come' 'required revision is a future revision' compaction $((now + 100000))
    same 'get after compaction' "$p/k"$'\n2' "$(ctl get "$p/k")"
    same 'get at the compacted revision' "$p/k"$'\n2' "$(ctl get "$p/k" --rev "$now")"
    local out=$scratch/watch tries
    watch "$out" "$p/k" --rev "$before"
    for tries in $(seq 100); do
        ! grep -q 'required revision has been compacted' "$out" || break
        sleep 0.1
    done
    unwatch
    grep -q 'required revision has been compacted' "$out" || fail "a watch from a compacted revision: $(cat "$out")"
    passed=$((passed + 1))
}

cluster() {
    local rows
    like 'endpoint health' "$endpoint is healthy: successfully committed proposal: took = .*" "$(ctl endpoint health 2>&1)"
    like 'endpoint status' "$endpoint, [0-9a-f]+, [0-9][0-9.]*, [0-9.]+ [kMG]?B, (true|false), (false, )?[0-9]+, [0-9]+(, [0-9]+)?, ?" "$(ctl endpoint status)"
    same 'one leader' 1 "$("$etcdctl" --endpoints "$all" endpoint status -w json | grep -o '"leader":[0-9]*' | sort -u | wc -l)"
    rows=$(ctl member list)
    same 'member list, rows' "${#endpoints[@]}" "$(wc -l <<<"$rows")"
    same 'member list, all started' "${#endpoints[@]}" "$(grep -cE '^[0-9a-f]+, started, [^,]+, https?://[^,]+, https?://[^,]+(, false)?$' <<<"$rows")"
    for other in "${endpoints[@]}"; do
        [[ $rows == *", $other"* ]] || fail "member list does not name $other: $rows"
    done
    like 'endpoint hashkv' "$endpoint, [0-9]+" "$(ctl endpoint hashkv)"
    # All members have the same hash once they have applied the same; nothing is written meanwhile.
    local tries hashes=
    for tries in $(seq 50); do
        hashes=$("$etcdctl" --endpoints "$all" endpoint hashkv | sed 's/.*, //' | sort -u | wc -l)
        [ "$hashes" != 1 ] || break
        sleep 0.1
    done
    same 'endpoint hashkv, members agree' 1 "$hashes"
}

# A learner that never starts changes nothing for the others; whoever answers, they all see the same. etcd drops a
# change that comes while it is not quite done with the one before, hence the pauses.
members() {
    local added id rows tries
    sleep 0.2
    refused 'member remove of nobody' 'etcdserver: member not found' member remove 1234
    sleep 0.2
    refused 'member update of nobody' 'etcdserver: member not found' member update 1234 --peer-urls http://127.0.0.1:1
    sleep 0.2
    refused 'member promote of nobody' 'etcdserver: member not found' member promote 1234
    rows=$(ctl member list | wc -l)
    # A cluster that has just started counts as unhealthy for some seconds.
    for tries in $(seq 50); do
        sleep 0.2
        ! added=$(ctl member add apprentice --learner --peer-urls http://127.0.0.1:1 2>&1) || break
    done
    like 'member add' 'Member +[0-9a-f]+ added to cluster +[0-9a-f]+' "$(head -n 1 <<<"$added")"
    same 'member add, how to start it' 'ETCD_NAME="apprentice"' "$(sed -n 3p <<<"$added")"
    like 'member add, the cluster' 'ETCD_INITIAL_CLUSTER=".*apprentice=http://127.0.0.1:1.*"' "$(sed -n 4p <<<"$added")"
    # The client pads ids here with blanks, and nowhere else.
    id=$(awk 'NR == 1 { print $2 }' <<<"$added")
    same 'member list with a learner' $((rows + 1)) "$(ctl member list | wc -l)"
    like 'member list, the learner' "$id, unstarted, , http://127.0.0.1:1, , true" "$(ctl member list | grep "^$id")"
    sleep 0.2
    refused 'member add of a second learner' 'etcdserver: too many learner members in cluster' member add other --learner --peer-urls http://127.0.0.1:2
    sleep 0.2
    refused 'member add with a URL in use' 'etcdserver: Peer URLs already exists' member add other --learner --peer-urls http://127.0.0.1:1,http://127.0.0.1:5
    refused 'member promote of a learner that never came' 'etcdserver: can only promote a learner member which is in sync with leader' member promote "$id"
    refused 'move-leader to a learner' 'etcdserver: bad leader transferee' --endpoints "$all" move-leader "$id"
    sleep 0.2
    like 'member update' "Member +$id updated in cluster +[0-9a-f]+" "$(ctl member update "$id" --peer-urls http://127.0.0.1:3)"
    sleep 0.2
    like 'member remove' "Member +$id removed from cluster +[0-9a-f]+" "$(ctl member remove "$id")"
    sleep 0.2
    refused 'member remove again' 'etcdserver: member not found' member remove "$id"
    same 'member list after the removal' "$rows" "$(ctl member list | wc -l)"
}

printf '%s: %s\n' "$etcdctl" "$("$etcdctl" version | head -n 1)"
for endpoint in "${endpoints[@]}"; do
    p=acceptance/$$-$RANDOM
    before=$passed
    puts_and_gets
    deletes
    transactions
    watches
    leases
    compaction
    cluster
    members
    ctl del "$p/" --prefix >/dev/null
    printf '  %s: %s checks\n' "$endpoint" $((passed - before))
done
printf '%s passed, 0 failed\n' "$passed"
