# SPDX-License-Identifier: MIT
#
# Text in Perl: makes paragraphs, splits, counts, rewrites and sorts their words. Usage: words.pl ROUNDS
use strict;
use warnings;

my $state = 12345;

sub random {
    my ($limit) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 65536) % $limit;
}

sub word {
    return join '', map { chr(97 + random(26)) } 1 .. 2 + random(7);
}

my $total = 0;
my @vocabulary = map { word() } 1 .. 3000;
for my $round (1 .. $ARGV[0]) {
    my $text = join ' ', map { $vocabulary[random(3000)] . (random(9) ? '' : '.') } 1 .. 20000;
    my %count;
    $count{lc $_}++ for split /\W+/, $text;
    my @sorted = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    my %index;
    push @{ $index{substr $_, 0, 1} }, { word => $_, count => $count{$_}, length => length } for @sorted;
    (my $changed = $text) =~ s/\b([a-m])(\w+)/uc($1) . $2/ge;
    $total += @sorted + keys(%index) + length($changed);
}
print "$total\n";
