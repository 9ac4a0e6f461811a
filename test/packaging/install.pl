# What a packager does: builds outside the tree, make install into a directory
# of his own, make uninstall; and what PGXN reads. Run by tools/test.sh with
# SOURCE, the tree, and PG_CONFIG.

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Find qw(find);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

my $work = tempdir(CLEANUP => 1);
my $source = "$work/source";
my $destination = "$work/destination";
my $pg_config = $ENV{PG_CONFIG};
my @make = ('make', '-s', '-j2', "PG_CONFIG=$pg_config");

sub contents
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# A test: the command succeeds.
sub works
{
	my ($what, @command) = @_;
	my $log = "$work/log";
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>', $log or die;
		open STDERR, '>&', \*STDOUT or die;
		exec @command or die;
	}
	waitpid $pid, 0;
	return ok($? == 0, $what) || diag(contents($log));
}

# The files below a directory, without its name.
sub files_of
{
	my ($directory) = @_;
	my @files;

	find(sub { push @files, substr($File::Find::name, length $directory) if -f }, $directory) if -d $directory;
	return sort @files;
}

sub pg_config
{
	my ($what) = @_;
	my $directory = qx($pg_config --$what);

	chomp $directory;
	return $directory;
}

# What has to be installed, by the tree's own names.
sub expected_files
{
	my $extension = pg_config('sharedir') . '/extension';
	my @scripts = map { s{.*/}{}r } glob "$source/sql/*.sql";

	my @files = (pg_config('pkglibdir') . '/durable.so', map { "$extension/$_" } @scripts, 'durable.control', 'durable_pgtap.control');

	return sort @files;
}

# A test of make install and make uninstall, from where the library is built.
sub installs
{
	my ($what, @command) = @_;

	works("$what: make install", @command, 'install', "DESTDIR=$destination");
	is_deeply([ files_of($destination) ], [ expected_files() ], "$what: the library, the control files and all scripts are installed, and nothing else");
	works("$what: make uninstall", @command, 'uninstall', "DESTDIR=$destination");
	is_deeply([ files_of($destination) ], [], "$what: of which nothing is left");
}

mkdir $source;
system("tar -C '$ENV{SOURCE}' --exclude=./.git --exclude=./tmp_check --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude=./src/core/condition_names.h -cf - . | tar -C '$source' -xf -") == 0
  or die 'could not copy the tree';
my @tree = files_of($source);

# --- builds -----------------------------------------------------------------------

mkdir "$work/build";
my @vpath = (@make, '-C', "$work/build", '-f', "$source/Makefile", "VPATH=$source");
works('it builds in another directory (VPATH)', @vpath, 'CFLAGS=-O1');
is_deeply([ files_of($source) ], \@tree, 'and writes nothing into the tree');
installs('VPATH', @vpath);

# With what was built, which is not built again: make -C.
works('the objects are taken over', 'cp', '-R', "$work/build/.", $source);
my @from_outside = (@make, '-C', $source);
works('it builds from outside (make -C)', @from_outside, 'CFLAGS=-O1');
installs('make -C', @from_outside);
works('make clean', @from_outside, 'clean');
is_deeply([ files_of($source) ], \@tree, 'leaves what there was');

# --- what PGXN and CREATE EXTENSION read -----------------------------------------------

my $meta = decode_json(contents("$source/META.json"));
foreach my $extension (sort keys %{ $meta->{provides} })
{
	my $provided = $meta->{provides}->{$extension};
	my ($version) = contents("$source/$extension.control") =~ /^default_version\s*=\s*'([^']*)'/m;

	like($provided->{version}, qr/^\Q$version\E\.\d+$/, "META.json has the version of $extension.control");
	ok(-f "$source/$provided->{$_}", "META.json: the $_ of $extension is there") foreach 'file', 'docfile';
	ok(-f "$source/sql/$extension--1.0.sql", "$extension has the base that every CREATE EXTENSION begins with");
	ok(scalar(grep { /--\Q$version\E\.sql$/ } glob "$source/sql/$extension--*.sql"), "and a script leads to $version");
}
is_deeply([ sort keys %{ $meta->{provides} } ], [ map { s/\.control$//r } sort map { s{.*/}{}r } glob "$source/*.control" ], 'META.json has all extensions');
my ($library) = contents("$source/src/extension.c") =~ /library_version = \{(\d+, \d+)\}/;
is($library =~ s/, /./r, contents("$source/durable.control") =~ /^default_version\s*=\s*'([^']*)'/m ? $1 : '', 'the library has the default version');
# Updates are made under the eyes of the library.
like(contents($_), qr/^\\echo[^\n]*\\quit\s+SELECT durable_store\.updating\('/m, s{.*/}{}r . ' begins with durable_store.updating()')
  foreach glob "$source/sql/durable--*--*.sql";

done_testing();
