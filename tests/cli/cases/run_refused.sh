# SPDX-License-Identifier: MIT
# Programs that nothing can be preloaded into: exit status 125.
echo 'int main(void) { return 0; }' >program.c
gcc -static -o static program.c || skip "no static C library"
gcc -static-pie -o static-pie program.c || skip "no static C library for position-independent programs"
gcc -o dynamic program.c
printf '#!%s/static\n' "$PWD" >script
# patch FILE OFFSET BYTES
patch() {
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
cp dynamic 32-bit && patch 32-bit 4 '\1' && patch 32-bit 18 '\3\0'
cp dynamic x32 && patch x32 4 '\1'
cp dynamic arm && patch arm 18 '\267\0'
cp dynamic mainframe && patch mainframe 5 '\2' && patch mainframe 18 '\0\26'
printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\50\0' >short
LC_ALL=C sed 's,/lib64/ld-linux-x86-64.so.2,/lib/ld-musl-x86_64.so.1\x00\x00\x00,' dynamic >musl
LC_ALL=C sed 's,/lib64/ld-linux-x86-64.so.2,/lib64/ld-linux-x86-64.so.9,' dynamic >homeless
chmod +x 32-bit x32 arm mainframe short musl homeless script
for program in static static-pie script 32-bit x32 arm mainframe short musl homeless; do
    try peakline run ./$program
done
# The dynamic loader is no static program.
try peakline run --quiet -o recording "$(LC_ALL=C sed -n 's,.*\(/lib64/ld-linux-x86-64.so.2\).*,\1,p' dynamic | head -n 1)" ./dynamic
rm -r recording
try ls -d */
