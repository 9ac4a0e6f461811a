# A server whose durable.so has the points of src/points.h, and what a test
# does with them: arm, see who has come, end or kill who waits there.
#
# It is the PostgreSQL that is tested, in a shadow of its installation with
# another library: postgres finds its libraries relative to its own file.

package PointsServer;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use DurableServer;

our @ISA = ('DurableServer');

my $library = "$FindBin::RealBin/../modules/points/durable.so";
my $shadow;

sub config
{
	my ($what) = @_;
	my $value = `$ENV{PG_CONFIG} --$what`;

	chomp $value;
	return $value;
}

sub copy_program
{
	my ($from, $to) = @_;

	copy($from, $to) or die "could not copy $from: $!";
	chmod 0755, $to or die "could not chmod $to: $!";
}

# Where the programs are that find the other library.
sub shadow_bin
{
	$ENV{PG_CONFIG} ||= 'pg_config';
	my ($bin, $lib, $share) = map { config($_) } 'bindir', 'pkglibdir', 'sharedir';

	return "$shadow$bin" if defined $shadow;
	die "$library is missing: \"make test-modules\" builds it\n" unless -e $library;
	$shadow = abs_path(PostgreSQL::Test::Utils::tempdir_short());
	make_path("$shadow$bin", "$shadow$lib", dirname("$shadow$share"));
	copy_program("$bin/$_", "$shadow$bin/$_") foreach 'postgres', 'initdb', 'pg_ctl';
	symlink $share, "$shadow$share" or die "could not link $share: $!";
	foreach my $file (glob "$lib/*")
	{
		symlink $file, "$shadow$lib/" . (split m{/}, $file)[-1] unless $file =~ m{/durable\.so$};
	}
	copy_program($library, "$shadow$lib/durable.so");
	return "$shadow$bin";
}

sub create
{
	my ($class, $name, %params) = @_;

	$ENV{PATH} = shadow_bin() . ":$ENV{PATH}";
	my $self = $class->SUPER::create($name, %params);

	mkdir $self->points or die "could not make directory of points: $!";
	return $self;
}

sub points
{
	my ($self) = @_;

	return $self->data_dir . '/durable_points';
}

# Whoever of the subjects (hubs, "coordinator", "launcher", application names) comes to the point first stops there, or does something else.
sub arm
{
	my ($self, $point, $action, @subjects) = @_;

	append_to_file($self->points . "/.$point\@$_", "$action\n") foreach @subjects;
	rename $self->points . "/.$point\@$_", $self->points . "/$point\@$_" foreach @subjects;
}

# subject => pid of those who have come.
sub taken
{
	my ($self, $point) = @_;

	return map { /\@(.*)#(\d+)$/ ? ($1 => $2) : () } glob $self->points . "/$point\@*#*";
}

# The subjects that have not come.
sub not_taken
{
	my ($self, $point) = @_;

	my @armed = map { /\@([^#]*)$/ ? $1 : () } glob $self->points . "/$point\@*";

	return @armed;
}

# What a witness has seen of the last commit.
sub last_witness
{
	my ($self) = @_;
	my @seen = split /\n/, PostgreSQL::Test::Utils::slurp_file($self->points . '/witness');

	return $seen[-1];
}

# True when all of the subjects have come.
sub all_come
{
	my ($self, $point, @subjects) = @_;

	return $self->all_come_within($ENV{PG_TEST_TIMEOUT_DEFAULT}, $point, @subjects);
}

sub all_come_within
{
	my ($self, $seconds, $point, @subjects) = @_;

	for my $i (1 .. 200 * $seconds)
	{
		return 1 unless grep { -e $self->points . "/$point\@$_" } @subjects;
		usleep(5_000);
	}
	return 0;
}

# Nothing is armed any more, and who waits goes on.
sub release
{
	my ($self) = @_;

	unlink glob $self->points . '/*@*';
}

# Ends those who wait, each alone, as pg_terminate_backend() does. Where interrupts are held they go on a little.
sub terminate_waiting
{
	my ($self, $point, $held) = @_;
	my %pid = $self->taken($point);

	kill 'TERM', values %pid;
	unlink map { $self->points . "/$point\@$_#$pid{$_}" } keys %pid if $held;
	foreach my $subject (sort keys %pid)
	{
		DurableServer::is_gone($pid{$subject}) or die "$subject does not end at $point";
	}
	unlink glob $self->points . "/$point\@*#*";
}

# Kills one of those who wait, so that the server starts again.
sub kill_waiting
{
	my ($self, $point) = @_;
	my %pid = $self->taken($point);

	$self->crash((sort { $a <=> $b } values %pid)[0]);
	unlink glob $self->points . "/$point\@*#*";
}

1;
