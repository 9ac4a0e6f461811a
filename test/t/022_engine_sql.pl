# The engine's SQL names everything with its schema: what it runs as the owner of
# the extension must not be led astray by what others have put in some schema,
# even if the pinned search_path (session.c) failed. Also, SQL is in src/store only.
#
# Operators are not qualified: they are found in pg_catalog, which the pinned path
# puts first, and pg_temp is never searched for them.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

# Words of the grammar that stand before a parenthesis without being functions.
my %grammar = map { $_ => 1 } qw(SELECT FROM WHERE AND OR NOT IN EXISTS ANY ALL SOME AS ON VALUES COALESCE GREATEST LEAST NULLIF
  CASE WHEN THEN ELSE ROW ARRAY FILTER OVER LATERAL CONFLICT USING SET BY EXTRACT UNION EXCEPT INTERSECT MATERIALIZED LIMIT OFFSET HAVING
  RETURNING DISTINCT OF WITH RECURSIVE CAST KEY JOIN BETWEEN LIKE IS);
# Types that the grammar knows by name; others are looked up.
my %grammar_type = map { $_ => 1 } qw(INT INTEGER BIGINT SMALLINT BOOLEAN REAL NUMERIC DOUBLE INTERVAL TIMESTAMP TIME BIT);
my $end_of_from = qr/^(?:WHERE|GROUP|ORDER|HAVING|LIMIT|OFFSET|FOR|UNION|EXCEPT|INTERSECT|RETURNING|WINDOW|SET|ON|VALUES|SELECT)$/i;

# The tokens of an SQL text; literals become '', parameters $n stay.
sub tokens
{
	my ($sql) = @_;

	$sql =~ s/'(?:[^']|'')*'/''/g;
	return $sql =~ /(''|"[^"]*"|\$\d+|%\w|::|[A-Za-z_][\w\$]*(?:\.(?:[A-Za-z_]\w*|%\w|\*))*|\d[\d.]*|\S)/g;
}

# What is not qualified in an SQL text.
sub complaints
{
	my ($sql) = @_;
	my @t = tokens($sql);
	my (%cte, @found);

	for my $i (0 .. $#t)
	{
		# WITH name [(columns)] AS [NOT MATERIALIZED] (
		next unless $t[$i] =~ /^\w+$/ && $i > 0 && ($t[ $i - 1 ] =~ /^(?:WITH|RECURSIVE)$/i || $t[ $i - 1 ] eq ',');
		$cte{ $t[$i] } = 1 if join(' ', @t[ $i + 1 .. ($i + 16 > $#t ? $#t : $i + 16) ]) =~ /^(?:\( [\w ,]+ \) )?AS (?:NOT )?(?:MATERIALIZED )?\(/i;
	}
	for my $i (0 .. $#t)
	{
		my ($before, $this, $next) = ($i > 0 ? $t[ $i - 1 ] : '', $t[$i], $t[ $i + 1 ] // '');

		# Relations: after JOIN, INTO, UPDATE; and all of a list after FROM or USING.
		if ($this =~ /^(?:JOIN|INTO|UPDATE)$/i && !($this =~ /^UPDATE$/i && $before =~ /^(?:FOR|KEY|DO)$/i))
		{
			push @found, relation($i + 1, \@t, \%cte);
		}
		elsif ($this =~ /^(?:FROM|USING)$/i && $before !~ /^(?:DISTINCT|ROWS)$/i && !($this =~ /^USING$/i && $next eq '('))
		{
			my $depth = 0;

			push @found, relation($i + 1, \@t, \%cte);
			for my $j ($i + 1 .. $#t)
			{
				$depth++ if $t[$j] eq '(';
				last if $t[$j] eq ')' && $depth-- == 0;
				last if $depth == 0 && $t[$j] =~ $end_of_from;
				push @found, relation($j + 1, \@t, \%cte) if $depth == 0 && $t[$j] eq ',';
			}
		}
		# Functions: a name before a parenthesis, if it is no alias with columns, nor a common table expression.
		if ($next eq '(' && $this =~ /^[A-Za-z_]\w*$/ && !$grammar{ uc $this } && !$cte{$this} && $before !~ /^(?:\)|AS|ORDINALITY|INTO)$/i && !is_alias($i, \@t))
		{
			push @found, "function $this()";
		}
		# Types.
		push @found, "type $next" if $this eq '::' && $next !~ /\./ && !$grammar_type{ uc $next };
		push @found, 'CAST: write ::' if $this =~ /^CAST$/i;
	}
	return @found;
}

sub relation
{
	my ($i, $t, $cte) = @_;

	$i++ while ($t->[$i] // '') =~ /^(?:LATERAL|ONLY)$/i;
	my ($name, $next) = ($t->[$i] // '', $t->[ $i + 1 ] // '');
	return () if $name eq '(' || $name =~ /^ROWS$/i || $name =~ /^(?:durable_store|durable|pg_catalog)\./ || $cte->{$name};
	return () if $next eq '(' && $t->[ $i - 1 ] !~ /^INTO$/i;    # a function: said elsewhere
	return "relation $name";
}

# "FROM relation alias (columns)"
sub is_alias
{
	my ($i, $t) = @_;

	return $i >= 2 && $t->[ $i - 1 ] =~ /^\w+\.[\w%]+$/ && $t->[ $i - 2 ] =~ /^(?:FROM|JOIN|INTO|UPDATE|USING|,)$/i;
}

# --- the SQL texts of C code: adjacent literals, macros of the file expanded ----------------

sub literals_of
{
	my ($code) = @_;
	my %macro;
	my @texts;
	my $string = qr/"(?:[^"\\]|\\.)*"/;

	$code =~ s{/\*.*?\*/}{ }gs;
	$code =~ s/\\\n/ /g;
	while ($code =~ /^#define\s+(\w+)(\([^)]*\))?[ \t]+(.*)$/mg)
	{
		my ($name, $arguments, $body) = ($1, $2, $3);
		$macro{$name} = $body if $body =~ /$string/;
	}
	$code =~ s/^#.*$//mg;
	my $names = join '|', map { quotemeta } sort keys %macro;
	if ($names)
	{
		# Expanded until nothing is left; the arguments of a macro are parts of its text.
		for (1 .. 5)
		{
			last unless $code =~ s/\b($names)\b(?:\(([^()]*)\))?/expand($macro{$1}, $2)/ge;
		}
	}
	push @texts, $1 while $code =~ /((?:$string\s*)+)/g;
	return map { my $text = $_; join '', map { s/\\n/\n/gr =~ s/\\(.)/$1/gr } map { substr $_, 1, -1 } $text =~ /$string/g } @texts;
}

sub expand
{
	my ($body, $argument) = @_;

	$body =~ s/\b(?!\d)[a-z]\w*\b(?=(?:[^"]*"[^"]*")*[^"]*$)/ $argument /g if defined $argument;
	return " $body ";
}

sub is_sql
{
	return 0 if $_[0] =~ /^SELECT durable\.[\w%]+\(/ || $_[0] =~ /\.\.\./;    # hints: the engine does not call what clients call
	return $_[0] =~ /^\s*\(?(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|MERGE|TRUNCATE|LOCK|CREATE|ALTER|DROP|COPY|CALL|GRANT|REVOKE|NOTIFY|LISTEN)\s/;
}

# --- the rules find what they are for ----------------------------------------------------------

my %planted = (
	'SELECT 1 FROM hubs h' => 'relation hubs',
	'SELECT 1 FROM durable_store.hubs h, inbox m WHERE true' => 'relation inbox',
	'SELECT 1 FROM durable_store.hubs h JOIN LATERAL inbox m ON true' => 'relation inbox',
	'INSERT INTO history (task_hub) VALUES ($1)' => 'relation history',
	'UPDATE instances i SET status = $1' => 'relation instances',
	'DELETE FROM inbox m USING instances i WHERE true' => 'relation inbox, relation instances',
	'SELECT count(*) FROM durable_store.hubs h' => 'function count()',
	'SELECT 1 FROM unnest($1) u' => 'function unnest()',
	'SELECT 1 FROM ROWS FROM (unnest($1), pg_catalog.unnest($2)) u (a, b)' => 'function unnest()',
	'SELECT $1::text' => 'type text',
	'SELECT CAST($1 AS text)' => 'CAST: write ::',
	'SELECT $1::durable_store.thing, $2::"odd"' => 'type "odd"',
	'WITH x AS (SELECT 1 FROM y) SELECT 1 FROM x, z' => 'relation y, relation z',
	'SELECT 1 WHERE EXISTS (SELECT FROM instances i WHERE lower(i.name) = $1)' => 'relation instances, function lower()');
is(join(', ', sort { $a cmp $b } complaints($_)), join(', ', sort { $a cmp $b } split /, /, $planted{$_}), "found in: $_") foreach sort keys %planted;
is(join(', ', complaints($_)), '', "nothing in: $_") foreach (
	'WITH gone AS (DELETE FROM durable_store.inbox m USING durable_store.instances i WHERE m.task_hub = $1 RETURNING m.*), n (c) AS MATERIALIZED (SELECT pg_catalog.count(*) FROM gone) SELECT coalesce(n.c, 0) FROM n',
	'INSERT INTO durable_store.%s (task_hub, a) SELECT $1, u.* FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) u',
	'SELECT i.x IS DISTINCT FROM $2 FROM ONLY durable_store.instances i WHERE i.a IN (1, 2) ORDER BY i.x LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED',
	'INSERT INTO durable_store.hubs (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE (SELECT true)',
	q{SELECT u.a FROM pg_catalog.unnest($1::pg_catalog.text[]) u (a), durable_store.hubs h (b) WHERE h.b = 'FROM nowhere (x)' AND u.a > pg_catalog.now() - interval '1 min'});
is(join('|', literals_of(<<'C')), 'SELECT pg_catalog.now() FROM (SELECT m.x FROM durable_store.inbox m WHERE m.h = $1)|x', 'macros are expanded');
#define NOW "pg_catalog.now()"
#define FIRST_OF(hub) \
	"(SELECT m.x FROM durable_store.inbox m WHERE m.h = " hub ")"
/* "not this" */
static S s = { "SELECT " NOW " FROM " FIRST_OF("$1"), f("x") };
C

# The calls of activities, which run as the owner of the hub; the name of the function is qualified and quoted there.
my %elsewhere = ('dispatch/activity_function.c' => [
		q{SELECT x.v FROM pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object('v', $1)) AS x(v %s)}, 'SELECT %s%s(' ]);

# --- the source ------------------------------------------------------------------------------------

my ($root) = grep { -d "$_/store" } map { "$FindBin::RealBin/../../$_" } 'src', '.';
ok(defined $root, 'the source is beside test/') or diag('make_work_dir in tools/test.sh has to copy it');
my $statements = 0;
foreach my $file (sort glob("$root/{store,client,core,dispatch,replay,worker}/*.c"))
{
	my @sql = grep { is_sql($_) } literals_of(slurp_file($file));
	my ($name) = $file =~ m{(\w+/\w+\.c)$};

	if ($name =~ m{^store/})
	{
		$statements += @sql;
		is(join("\n", map { my $sql = $_; map { "$_ in: $sql" } complaints($sql) } @sql), '', "$name qualifies its names") if @sql;
	}
	else
	{
		is(join("\n", @sql), join("\n", @{ $elsewhere{$name} // [] }), $elsewhere{$name} ? "$name has just the SQL that is known of it" : "$name has no SQL");
		is(join("\n", map { complaints($_) } @sql), '', "$name qualifies its names") if @sql;
	}
}
cmp_ok($statements, '>', 50, "$statements statements were read");

done_testing();
