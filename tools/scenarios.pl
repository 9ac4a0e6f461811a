#!/usr/bin/env perl
#
# Compares test/scenarios.md, the catalogue of scenarios, with the tests that
# name them ("scenario 46: ..." in a title or comment): every scenario has its
# tests, or a reason why there is none. Says what is wrong, and fails.
#
# usage: scenarios.pl [--write]      --write: put the tests that name them into the table

use strict;
use warnings;

my $last = 174;
my $table = 'test/scenarios.md';
my $write = @ARGV && $ARGV[0] eq '--write';

sub slurp
{
	my ($file) = @_;
	open(my $fh, '<', $file) or die "cannot open $file: $!\n";
	local $/;
	return scalar <$fh>;
}

# scenario number -> { file => 1 }
sub tests_by_scenario
{
	my %tests;
	foreach my $file (sort(glob 'test/pgtap/*.sql test/sql/*.sql test/specs/*.spec test/t/*.pl'))
	{
		my $text = slurp($file);
		while ($text =~ /\bscenarios? ((?:\d+(?:, | and |\/)?)+)/g)
		{
			$tests{$_}{$file} = 1 foreach $1 =~ /\d+/g;
		}
	}
	return \%tests;
}

my $tests = tests_by_scenario();
my (@lines, @problems, %seen);

foreach my $line (split /^/, slurp($table))
{
	# | number | what | tests, or "none: " and the reason |
	if ($line =~ /^\| (\d+) \| (.*?) \| (.*?) \|$/)
	{
		my ($number, $what, $where) = ($1, $2, $3);
		my $found = join(', ', map { s/^test\///r } sort keys %{ $tests->{$number} || {} });

		push @problems, "scenario $number is listed twice" if $seen{$number}++;
		if ($found eq '')
		{
			push @problems, "scenario $number has neither a test nor a reason" unless $where =~ /^none: \S/;
		}
		elsif ($where ne $found)
		{
			push @problems, "scenario $number is tested by $found, the table says $where" unless $write;
			$line = "| $number | $what | $found |\n";
		}
	}
	push @lines, $line;
}
foreach my $number (1 .. $last)
{
	push @problems, "scenario $number is not listed" unless $seen{$number};
}
foreach my $number (sort { $a <=> $b } keys %$tests)
{
	push @problems, "a test names scenario $number, which there is not" if $number < 1 || $number > $last;
}
if ($write)
{
	open(my $out, '>', $table) or die "cannot write $table: $!\n";
	print $out @lines;
	close $out;
}
print "$_\n" foreach @problems;
exit(@problems ? 1 : 0);
