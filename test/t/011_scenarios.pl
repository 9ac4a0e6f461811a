# Every scenario of the Durable Task Framework has a test that names it, or a
# reason why there is none: test/scenarios.md says which, and is right.

use strict;
use warnings;

use FindBin;
use Test::More;

chdir "$FindBin::RealBin/../.." or die "cannot change to the repository: $!";
my $problems = `perl tools/scenarios.pl 2>&1`;
is($problems, '', 'test/scenarios.md and the tests agree');
is($?, 0, 'tools/scenarios.pl has no complaint');
done_testing();
