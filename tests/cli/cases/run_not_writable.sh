# SPDX-License-Identifier: MIT
# A directory that cannot be written to.
mkdir closed && chmod 555 closed && chmod 777 .
user=
if [ "$(id -u)" = 0 ]; then
    user="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $user test -r "$BUILD/libpeakline.so" || skip "other users cannot get at the build directory"
fi
try $user peakline run -o closed/recording true
cd closed
try $user peakline run touch started
try ls
