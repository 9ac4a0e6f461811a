#!/usr/bin/env perl
#
# prove, but for its last line: "# counts: <passed> <failed>", in assertions. A
# file that dies, or ends before its plan, counts its missing tests as failed.
#
# usage: prove.pl [-I dir]... [--jobs=n] file.pl...
#        prove.pl --pgtap file.sql...
#
# With --pgtap the files are fed to psql as pg_prove does, but each in a
# database of its own, made from template "pgtap" of the server of PGHOST.

use strict;
use warnings;
use File::Basename qw(basename);
use Getopt::Long qw(:config no_ignore_case bundling);
use TAP::Harness;

my $jobs = 1;
GetOptions('I=s@' => \my @lib, 'jobs=i' => \$jobs, 'pgtap' => \my $pgtap, 'v|verbose' => \my $verbose)
  or die "usage: prove.pl [-I dir]... [--jobs=n] [--pgtap] file...\n";

# Makes the file's database; returns the command that writes its TAP.
sub psql_command
{
	my ($harness, $file) = @_;
	my $database = basename($file, '.sql');

	system('createdb', '-T', 'pgtap', $database) == 0
	  or die "could not make database $database\n";
	return [
		'psql', '--no-psqlrc', '--no-align', '--quiet', '--pset', 'pager=off',
		'--pset', 'tuples_only=true', '--set', 'ON_ERROR_STOP=1',
		'--dbname', $database, '--file', $file ];
}

my $harness = TAP::Harness->new(
	{
		lib => [ map { split /:/ } @lib ],
		jobs => $jobs,
		verbosity => $verbose ? 1 : 0,
		color => -t STDOUT ? 1 : 0,
		($pgtap ? (exec => \&psql_command) : ()),
	});
# Side by side, the last ones first: they are the longest.
my $results = $harness->runtests($jobs > 1 ? reverse @ARGV : @ARGV);
my ($passed, $failed) = (scalar $results->passed, scalar $results->failed);

foreach my $parser ($results->parsers)
{
	my $planned = $parser->tests_planned // 0;
	my $missing = $planned > $parser->tests_run ? $planned - $parser->tests_run : 0;

	$missing = 1
	  if $missing == 0 && $parser->has_problems && !$parser->failed;
	$failed += $missing;
}

print "# counts: $passed $failed\n";
exit($results->all_passed && $passed > 0 ? 0 : 1);
