# SPDX-License-Identifier: MIT
# What every verb has in common.
try peakline
try peakline help
try peakline -h
try peakline --help
try peakline --version
try peakline help run
try peakline run --help
try peakline rnu
try peakline raport
try peakline ./a.out
try peakline help nothing
try peakline $'two\nlines'
