# SPDX-License-Identifier: MIT
# Scopes and marks in both formats; names that try to be something else; more marks than a process keeps.
cat >scopes.c <<'END'
#include "peakline.h"
#include <stdlib.h>
int main(void) {
    void *volatile block;
    PEAKLINE_SCOPE("load") {
        block = malloc(3000017);
        PEAKLINE_SCOPE("load: \033[31m\t\"x\" \377") {
            free(malloc(1001));
        }
        free(block);
    }
    for (int i = 0; i < 400; i++)
        peakline_mark(i % 2 ? "odd" : "even \"\n");
    char name[] = "a";
    for (; name[0] < 'a' + 22; name[0]++)
        PEAKLINE_SCOPE(name) {
            free(malloc((size_t)name[0]));
        }
    return 0;
}
END
gcc -O0 -g -fno-builtin -I "$HERE/../../../shim" -o scopes scopes.c || skip "no compiler"
try peakline run --quiet -o recording ./scopes
peakline report recording | sed -n '/Note/p;/Scope/,/^$/p;/more scopes/p'
peakline report recording | sed -n '/  Mark$/,/^$/s/^.*  //p' | uniq
try peakline report recording --function main --top 1 | grep -c Scope
peakline report recording --format json | python3 -c '
import json, sys
process = json.load(sys.stdin)["processes"][0]
print([(scope["name"], scope["total"]["peak_bytes"]) for scope in process["scopes"]][:3], len(process["scopes"]))
print(sorted({mark["name"] for mark in process["marks"]}), len(process["marks"]))'
