# A PostgreSQL installation of the tests' own, whose extension directory they
# may write to. PostgreSQL finds its files beside its programs, so it is a copy
# of the programs, with links to everything else.

package PrivateInstallation;

use strict;
use warnings;

use File::Basename qw(basename);
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;

sub pg_config
{
	my ($what) = @_;
	my $directory = qx(pg_config --$what);

	chomp $directory;
	die "pg_config --$what says nothing" if $directory eq '';
	return $directory;
}

# What all the directories begin with, up to a slash.
sub common_prefix
{
	my ($prefix, @others) = @_;

	foreach my $other (@others)
	{
		chop $prefix while index($other, $prefix) != 0;
	}
	return $prefix =~ s{[^/]*$}{}r;
}

sub link_all
{
	my ($from, $to, $but) = @_;

	make_path($to);
	foreach my $file (glob "$from/*")
	{
		next if defined $but && basename($file) eq $but;
		symlink $file, "$to/" . basename($file) or die "could not make a link to $file: $!";
	}
}

# create(directory): the programs are in its bindir, extensions in its extension_dir.
sub create
{
	my ($class, $directory) = @_;
	my ($bin, $share, $lib) = map { pg_config($_) } qw(bindir sharedir pkglibdir);
	my $prefix = common_prefix($bin, $share, $lib);
	my ($new_bin, $new_share, $new_lib) = map { "$directory/" . substr($_, length $prefix) } $bin, $share, $lib;

	make_path($new_bin);
	system_or_bail('cp', '-RL', glob("$bin/*"), $new_bin);
	link_all($lib, $new_lib) unless index("$bin/", "$lib/") == 0;
	link_all($share, $new_share, 'extension');
	link_all("$share/extension", "$new_share/extension");
	return bless { bindir => $new_bin, extension_dir => "$new_share/extension" }, $class;
}

sub bindir { return $_[0]->{bindir}; }

# What PostgreSQL::Test::Cluster calls install_path.
sub path { return $_[0]->{bindir} =~ s{/bin$}{}r; }

# A script or control file, in place of what may be there.
sub write_extension_file
{
	my ($self, $name, $contents) = @_;
	my $file = "$self->{extension_dir}/$name";

	unlink $file;
	open my $out, '>', $file or die "could not write $file: $!";
	print $out $contents;
	close $out or die "could not write $file: $!";
}

sub extension_file
{
	my ($self, $name) = @_;

	return slurp_file("$self->{extension_dir}/$name");
}

1;
