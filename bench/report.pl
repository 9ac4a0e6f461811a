#!/usr/bin/perl
#
# Makes a table, JSON and an SVG chart of results.tsv, whose columns are: case, what, value, unit, bound, ratio, target.
#
# usage: report.pl DIRECTORY COMMIT    (the version of PostgreSQL on standard input)

use strict;
use warnings;
use POSIX qw(strftime uname);

my ($directory, $commit) = @ARGV;
chomp(my $postgres = <STDIN> // 'unknown');
my @results = read_results("$directory/results.tsv");

write_file("$directory/table.txt", table());
write_file("$directory/results.json", json());
write_file("$directory/results.svg", svg());
print "\n", table();

sub read_results
{
	my ($path) = @_;
	open my $in, '<', $path or die "$path: $!";
	my @rows;
	while (my $line = <$in>)
	{
		chomp $line;
		my %row;
		@row{qw(case what value unit bound ratio target)} = split /\t/, $line, 7;
		judge(\%row);
		push @rows, \%row;
	}
	return @rows;
}

# "score": how many times as good as the target; below 1 it is missed.
sub judge
{
	my ($row) = @_;
	my ($op, $limit) = $row->{target} =~ /^([<>]=) (\S+)/ or return;
	my $got = length $row->{ratio} ? $row->{ratio} : $row->{value};
	($row->{met}, $row->{score}) = (0, 0);
	return unless length $got;		# nothing was measured
	$row->{met} = $op eq '>=' ? $got >= $limit : $got <= $limit;
	$row->{score} = $op eq '>=' ? $got / ($limit || 1)
		: $limit > 0 ? $limit / ($got > $limit / 100 ? $got : $limit / 100) : ($got <= 0 ? 1 : 0);
}

sub mark { my ($row) = @_; return !defined $row->{met} ? 'reported' : $row->{met} ? 'met' : 'MISSED'; }

sub number { my ($n) = @_; return '' if $n eq ''; return $n =~ /^-?\d+$/ ? $n : $n >= 1000 ? sprintf('%.0f', $n) : sprintf('%.3g', $n); }

sub table
{
	my $format = "%-12s %-46s %10s %-11s %10s %7s  %-8s %s\n";
	my $text = sprintf $format, 'case', 'what', 'value', 'unit', 'bound', 'ratio', 'target', '';
	$text .= ('-' x 118) . "\n";
	$text .= sprintf $format, $_->{case}, $_->{what}, number($_->{value}), $_->{unit}, number($_->{bound}), number($_->{ratio}), $_->{target}, mark($_)
		for @results;
	my @missed = grep { defined $_->{met} && !$_->{met} } @results;
	$text .= sprintf "\n%d targets met, %d missed\n", scalar(grep { $_->{met} } @results), scalar @missed;
	return $text;
}

sub quote { my ($s) = @_; $s =~ s/(["\\])/\\$1/g; return qq("$s"); }
sub json_number { my ($n) = @_; return length $n ? $n : 'null'; }

sub json
{
	my ($sysname, undef, $release, undef, $machine) = uname();
	my @lines = map {
		my $r = $_;
		'  {' . join(', ', map({ quote($_) . ': ' . quote($r->{$_}) } qw(case what unit)),
			map({ quote($_) . ': ' . json_number($r->{$_}) } qw(value bound ratio)),
			'"target": ' . (length $r->{target} ? quote($r->{target}) : 'null'),
			'"met": ' . (defined $r->{met} ? ($r->{met} ? 'true' : 'false') : 'null')) . '}'
	} @results;
	return sprintf qq({"date": %s, "commit": %s, "server": %s, "machine": %s, "cores": %d, "results": [\n%s\n]}\n),
		quote(strftime('%Y-%m-%dT%H:%M:%SZ', gmtime)), quote($commit), quote($postgres), quote("$sysname $release $machine"),
		cores(), join(",\n", @lines);
}

sub cores { open my $in, '<', '/proc/cpuinfo' or return 0; return scalar grep { /^processor/ } <$in>; }

sub xml { my ($s) = @_; $s =~ s/&/&amp;/g; $s =~ s/</&lt;/g; $s =~ s/>/&gt;/g; return $s; }

# A bar for each target, as long as the result is good: the line is the target, at the right of it it is met.
sub svg
{
	my @bars = grep { defined $_->{score} } @results;
	my ($left, $unit, $most, $step) = (330, 200, 2.5, 26);
	my $height = 70 + $step * @bars;
	my $width = $left + $unit * $most + 150;
	my $text = qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$height" font-family="sans-serif" font-size="12">\n)
		. qq(<rect width="100%" height="100%" fill="white"/>\n)
		. qq(<text x="10" y="20" font-size="15">durable $commit: how good against each target (the line; beyond it the target is met)</text>\n);
	my $y = 40;
	for my $row (@bars)
	{
		my $length = $unit * ($row->{score} < $most ? $row->{score} : $most);
		my $got = number(length $row->{ratio} ? $row->{ratio} : $row->{value});
		my $fill = $row->{met} ? '#4a8' : '#d64';
		$text .= sprintf qq(<text x="%d" y="%d" text-anchor="end">%s</text>\n), $left - 8, $y + 14, xml("$row->{case}: $row->{what}");
		$text .= sprintf qq(<rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/>\n), $left, $y, $length, $fill;
		$text .= sprintf qq(<text x="%.1f" y="%d">%s</text>\n), $left + $length + 5, $y + 14,
			xml("$got (target $row->{target})" . (length $row->{ratio} ? '' : " $row->{unit}"));
		$y += $step;
	}
	$text .= sprintf qq(<line x1="%d" y1="32" x2="%d" y2="%d" stroke="black"/>\n</svg>\n), $left + $unit, $left + $unit, $y;
	return $text;
}

sub write_file
{
	my ($path, $text) = @_;
	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	close $out or die "$path: $!";
}
