#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The shim's unwinder against libunwind, at allocations of target programs and of real ones. Not one difference is allowed.
# Usage: [BUILD=DIRECTORY] [LEVELS='O0 O1 O2 O3'] [EVERY=N] tests/oracle/run.sh [speed]
#
# LEVELS are the optimisation levels that the targets are compiled with. Of the real programs' allocations every EVERY-th is
# compared (libunwind takes 20 microseconds for each); EVERY=1 takes some minutes. `speed` measures instead.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-$PWD/build}
OUT=$BUILD/oracle
LEVELS=${LEVELS:-O0 O2}
EVERY=${EVERY:-20}
CC=${CC:-gcc}
CXX=${CXX:-g++}
FLAGS=(-std=gnu11 -Wall -Wextra -I. -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer)
passed=0 failed=0 skipped=0
mkdir -p "$OUT"
unset LD_PRELOAD

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
    exit
}

if [ "${1-}" = speed ]; then
    "$CC" "${FLAGS[@]}" -o "$OUT/speed" tests/oracle/speed.c tests/oracle/arena.c shim/unwind*.c -lpthread &&
        exec "$OUT/speed"
    exit 1
fi

if ! echo '#include <libunwind.h>' | "$CC" -E - >/dev/null 2>&1; then
    echo "skipped: libunwind's headers are not installed"
    skipped=1
    finish
fi
library=$OUT/liboracle.so
if ! "$CC" "${FLAGS[@]}" -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-builtin-malloc -shared -Wl,-z,defs \
    -Wl,-z,now -o "$library" tests/oracle/oracle.c tests/oracle/arena.c shim/unwind*.c -ldl; then
    echo "FAILED: the oracle does not compile"
    failed=1
    finish
fi

# judge NAME EXPECTED COMMAND…: runs it with the oracle; each process's summary must match EXPECTED, an extended regular expression.
agree='lost 0, deep 0, different 0 .* unchanged wrong 0$'
survive='unchanged wrong 0$'
judge() {
    local name=$1 expected=$2 status
    shift 2
    : >"$OUT/log"
    ORACLE_OUT=$OUT/log ORACLE_SHOW=3 timeout 300 env LD_PRELOAD="$library" "$@" >"$OUT/output" 2>&1
    status=$?
    if [ $status -eq 0 ] && grep -q captures "$OUT/log" && ! grep 'captures' "$OUT/log" | grep -qvE "$expected"; then
        passed=$((passed + 1))
        grep captures "$OUT/log" | sort -t' ' -k3,3nr | sed -n "1s|^oracle: [^:]*|ok $name|p" | cut -d, -f1-3
    else
        failed=$((failed + 1))
        echo "FAILED $name (exit status $status)"
        tail -n 3 "$OUT/output"
        head -n 40 "$OUT/log"
    fi
}

compile() {
    local source=$1 level=$2 name more compiler flags=() flag
    name=$(sed -n 's|^// output: ||p' "$source")
    name=${name:-$(basename "${source%.*}")}
    more=$(sed -n 's|^// cflags: ||p' "$source")
    for flag in $more; do
        flags+=("${flag//\$OUT/$OUT/$level}")
    done
    case $source in
    *.cpp) compiler=("$CXX" -std=gnu++17) ;;
    *) compiler=("$CC" -std=gnu11) ;;
    esac
    "${compiler[@]}" -D_GNU_SOURCE "-$level" -g -fno-builtin -pthread -o "$OUT/$level/$name" "$source" "${flags[@]}" || {
        echo "FAILED $source: does not compile"
        failed=$((failed + 1))
    }
}

for level in $LEVELS; do
    mkdir -p "$OUT/$level"
    for source in $(grep -l '^// output: lib' tests/programs/unwind_*) $(grep -L '^// output: lib' tests/programs/unwind_*); do
        compile "$source" "$level"
    done
    for program in "$OUT/$level"/unwind_*; do
        name=$(basename "$program")
        case $name in
        unwind_smashed) ORACLE_EVERY=0 judge "$level $name" "$survive" "$program" ;;
        unwind_assembly)
            judge "$level $name" "$agree" "$program"
            ORACLE_EVERY=0 judge "$level $name lost" "lost 280, .*$survive" "$program" lost
            ;;
        unwind_deep) ORACLE_EVERY=40 judge "$level $name" "$agree" "$program" ;;
        unwind_threads | unwind_coroutines) ORACLE_EVERY=10 judge "$level $name" "$agree" "$program" ;;
        *) judge "$level $name" "$agree" "$program" ;;
        esac
    done
done

export ORACLE_EVERY=$EVERY
if command -v sqlite3 >/dev/null; then
    cat >"$OUT/queries" <<'SQL'
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i+1 from n where i < 100000)
    insert into t select i, hex(randomblob(8)), random() from n;
create index tb on t(b);
select count(*) from (select b, sum(c) from t group by substr(b, 1, 3) order by 2);
select json_group_array(json_object('a', a, 'b', b)) from t where a < 300;
SQL
    judge sqlite3 "$agree" sqlite3 :memory: ".read $OUT/queries"
else
    echo "skipped sqlite3: not installed"
    skipped=$((skipped + 1))
fi
cat >"$OUT/containers.cpp" <<'CPP'
#include <map>
#include <string>
#include <unordered_map>
#include <vector>
int main() {
    std::map<std::string, std::vector<int>> some;
    std::unordered_map<int, std::string> others;
    for (int i = 0; i < 1000; i++)
        some[std::to_string(i)].push_back(i), others[i] = std::to_string(i);
    return some.size() == others.size() ? 0 : 1;
}
CPP
# The driver, the compiler itself, the assembler: whatever it starts is looked at.
judge g++ "$agree" "$CXX" -O1 -c -o "$OUT/containers.o" "$OUT/containers.cpp"
if /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
    cat >"$OUT/work.py" <<'PY'
import ctypes, json, re, threading
import numpy as np

def work():
    a = np.random.rand(120, 120)
    np.linalg.inv(a), np.fft.fft(a), np.sort(a, axis=0)
    np.array([str(i) for i in range(500)], dtype=object).astype("U10")
    text = json.dumps([{"a": i, "b": [i] * 5} for i in range(2000)])
    json.loads(text), re.findall(r"\d+", text), sorted(text.split(","))

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
work()
for thread in threads:
    thread.join()
# C calls back into Python.
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(
    lambda p, q: (bytearray(5000) and 0) + p[0] - q[0])
numbers = (ctypes.c_int * 100)(*range(100, 0, -1))
ctypes.CDLL(None).qsort(numbers, 100, 4, callback)
assert list(numbers) == list(range(1, 101))
PY
    judge 'python3 with numpy' "$agree" /usr/bin/python3 "$OUT/work.py"
else
    echo "skipped python3 with numpy: /usr/bin/python3 has no numpy"
    skipped=$((skipped + 1))
fi
finish
