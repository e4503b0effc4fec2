# SPDX-License-Identifier: MIT
# Programs that get more rights than their caller: the loader would ignore the shim.
[ "$(id -u)" = 0 ] || skip "needs root, to make such programs"
case ,$(findmnt -n -o OPTIONS -T .), in
*,nosuid,*) skip "the temporary directory is mounted nosuid" ;;
esac
chmod 777 .
cp /bin/true setuid && chown 65534 setuid && chmod u+s setuid
cp /bin/true setgid && chgrp 65534 setgid && chmod g+s setgid
cp /bin/true own && chmod u+s own
cp /bin/true capable && setcap cap_net_raw+ep capable 2>/dev/null || skip "no file capabilities on this file system"
printf '#!%s/setuid\n' "$PWD" >script
printf '#!%s/own\n' "$PWD" >marked && chmod +x script marked && chown 65534 marked && chmod u+s marked
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
$nobody test -r "$BUILD/libpeakline.so" || skip "other users cannot get at the build directory"
try peakline run ./setuid
try peakline run ./setgid
try peakline run ./script
try $nobody peakline run ./own
try $nobody peakline run ./capable
# These change nothing: one's own rights, root's capabilities, bits that the kernel ignores.
try peakline run --quiet -o a ./own
try peakline run --quiet -o b ./capable
try $nobody peakline run --quiet -o c ./setuid
try peakline run --quiet -o e ./marked
try setpriv --no-new-privs peakline run --quiet -o d ./setuid
try ls -d */
