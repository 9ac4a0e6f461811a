# The README tells of every function, view, setting and SQLSTATE, and of no
# other; and what it says to paste into psql does what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# A file of the repository, from where the tests run ("make test" copies them).
sub source
{
	my ($file) = grep { -e $_ } map { "$FindBin::RealBin/../../$_" } @_;

	return slurp_file($file) if $file;
	fail("$_[0] is beside test/");
	diag('make_work_dir in tools/test.sh has to copy it');
	done_testing();
	exit;
}

my $readme = source('README.md');
my $docs = join "\n", $readme, map { slurp_file($_) } glob("$FindBin::RealBin/../../docs/*.md");
my ($reference) = $docs =~ /^## Reference\n(.*)/ms;
my $errors = source('src/errors.h', 'errors.h');
my $server = DurableServer->create('docs');

$server->safe_psql('postgres', $_) foreach 'CREATE ROLE app LOGIN', 'CREATE DATABASE app OWNER app';
$server->safe_psql('app', q{CREATE EXTENSION durable; SELECT durable.grant_usage('app')});
$server->safe_psql('app', q{CREATE EXTENSION pgtap; CREATE EXTENSION durable_pgtap});

sub rows { return map { [ split /\|/, $_, -1 ] } split /\n/, $server->safe_psql('app', $_[0]); }

# A test: nothing is in the list.
sub none
{
	my ($what, @list) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(join(', ', @list), '', $what);
}

# --- what there is, is there to read -------------------------------------------

my @functions = rows(<<'SQL');
SELECT proname, pg_get_function_arguments(oid) FROM pg_proc WHERE pronamespace = 'durable'::regnamespace ORDER BY 1, 2
SQL
my @columns = rows(<<'SQL');
SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'durable'::regnamespace AND relkind = 'v' AND attnum > 0 AND NOT attisdropped ORDER BY 1, attnum
SQL
my @settings = rows(<<'SQL');
SELECT name, current_setting(name), coalesce(unit, '-'), context FROM pg_settings
WHERE name LIKE 'durable.%' AND name NOT IN ('durable.task_hub') ORDER BY 1
SQL
my %function = map { $_->[0] => 1 } @functions;
my %view = map { $_->[0] => 1 } @columns;
my %setting = map { $_->[0] => 1 } @settings;

ok(@functions > 40 && %view > 5 && @settings > 10, 'the catalogs have something to compare with');

# A signature as the README writes it.
sub signature
{
	my ($name, $arguments) = @_;

	$arguments =~ s/::[\w.\[\] ]+//g;
	$arguments =~ s/'00:(\d\d):(\d\d)'/"'" . ($1 * 60 + $2) . " s'"/ge;
	$arguments =~ s/timestamp with time zone/timestamptz/g;
	$arguments =~ s/\bIN //g;
	$arguments =~ s/task_hub text DEFAULT NULL$/task_hub/;
	$arguments =~ s/durable\.task\b/task/g if $arguments !~ /\w (?:durable\.)?task\b/;
	return "`$name($arguments)`";
}

none('every function is documented, with its arguments and their defaults',
	grep { index($reference, $_) < 0 } map { signature(@$_) } @functions);
none('no function is documented that is not there',
	grep { !$function{$_} } $reference =~ /^\| `(\w+)\(/mg);

none('every view is documented, with its columns', map { "$_->[0].$_->[1]" } grep {
		my ($line) = $docs =~ /^(\| `$_->[0]` \|.*)$/m;
		($line // '') !~ /`$_->[1]`/
	} @columns);

none('every setting is documented, with default, unit and context', map { join ' ', @$_ }
	  grep { index($docs, "\n| `$_->[0]` | " . ($_->[1] eq '' ? 'empty' : "`$_->[1]`") . " | $_->[2] | $_->[3] |") < 0 } @settings);
like($docs, qr/^\| `durable\.task_hub` \| empty \| - \| user \|/m, 'so is durable.task_hub');
none('no setting is documented that is not there',
	grep { !$setting{$_} && $_ ne 'durable.task_hub' } $docs =~ /^\| `(durable\.\w+)` \| (?:`|empty)/mg);

my @codes = map { join '', /'(.)'/g } $errors =~ /MAKE_SQLSTATE\((.*?)\)/g;
cmp_ok(scalar @codes, '>', 10, 'errors.h has SQLSTATEs');
none('every SQLSTATE is documented', grep { $docs !~ /^\| `$_` \|/m } @codes);
none('no SQLSTATE is documented that is not there', grep { my $code = $_; !grep { $_ eq $code } @codes }
	  $docs =~ /\b(UD\d\d\d)\b/g);

# --- what it says to paste, as an ordinary role, in order -----------------------

sub paste
{
	my ($sql) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr('app') . ' user=app' ],
		'<', \$sql, '>', \$out, '2>', \$err);
	return $out . $err;
}

# Without what differs each time: times, and the widths of columns.
sub comparable
{
	my ($text) = @_;

	$text =~ s/\d{4}-\d\d-\d\d[ T][\d:.]+\+00(:00)?/<time>/g;
	$text =~ s/\d\d:\d\d:\d\d\.\d+/<seconds>/g;
	$text =~ s/-{2,}/--/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/^ | $//mg;
	$text =~ s/\s+\z//;
	return $text;
}

# The README was written at leisure: a block that only looks may look again.
sub paste_until
{
	my ($sql, $expected) = @_;
	my $out = paste($sql);

	for (my $tries = 0; $tries < 600 && $sql !~ /\b(CREATE|COMMIT|raise_event|import_history)\b/; $tries++)
	{
		last if comparable($out) eq comparable($expected);
		usleep(100_000);
		$out = paste($sql);
	}
	return $out;
}

# Pastes the SQL blocks of a file; returns how many there are.
sub paste_all
{
	my ($file, $text) = @_;
	my $blocks = 0;

	while ($text =~ /^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/msg)
	{
		my ($sql, $expected) = ($1, $2);
		my ($title) = $sql =~ /((?:CREATE FUNCTION|SELECT) [\w.]+)/;

		$blocks++;
		if (defined $expected)
		{
			is(comparable(paste_until($sql, $expected)), comparable($expected), "$file, block $blocks ($title ...) shows what it says");
		}
		else
		{
			unlike(paste($sql), qr/ERROR|WARNING/, "$file, block $blocks ($title ...) runs");
		}
	}
	return $blocks;
}

cmp_ok(paste_all('README', $readme), '>', 5, 'the README has something to paste');

# Tests of users run without workers.
$server->configure('durable.enabled' => 'off');
$server->poll_query_until('app', 'SELECT count(*) = 0 FROM durable.workers WHERE kind = $$worker$$') or fail('the workers leave');
cmp_ok(paste_all('testing.md', source('docs/testing.md')), '>', 5, 'so has docs/testing.md');

$server->stop;
done_testing();
