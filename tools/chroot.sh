#!/usr/bin/env bash
#
# A Debian with one PostgreSQL in a directory, made once, and commands run in
# it; for tools/matrix.sh. Needs root. All of it happens in namespaces of its
# own: no mount and no process can be left behind, whatever ends it.
#
# usage: chroot.sh make 17             make what is missing
#        chroot.sh run 17 command...   with the tree (not .git) as /durable
#        chroot.sh results 17          /durable/tmp_check, as tar, to stdout
#        chroot.sh remove 17
#
# DURABLE_MATRIX_DIR: where, one directory for each version; DURABLE_MATRIX_MIRROR: of Debian

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=${2:?}
cache=${DURABLE_MATRIX_DIR:-/var/cache/durable-matrix}
root=$cache/$version

# The Debian release that has this PostgreSQL.
release() {
	case $version in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		*) die "no Debian release is known for PostgreSQL $version" ;;
	esac
}

packages() {
	echo make gcc libc6-dev perl libipc-run-perl "postgresql-$version" "postgresql-client-$version" \
		"postgresql-server-dev-$version" "postgresql-$version-pgtap"
}

# The mirror that this machine's own packages come from.
mirror() {
	local found=${DURABLE_MATRIX_MIRROR:-}
	[ -n "$found" ] || found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1)
	echo "${found:-http://deb.debian.org/debian}"
}

# Mounts and processes end with the command.
apart() {
	unshare --mount --pid --fork --kill-child --propagation private -- "$@"
}

# A command in directory $1 as the root. procfs and /dev are there while it runs.
inside() {
	# shellcheck disable=SC2016
	apart sh -c 'root=$1; shift
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"' sh "$@"
}

# No package starts a server, and there is none to start.
forbid_servers() {
	mkdir -p "$1/etc/postgresql-common/createcluster.d"
	echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/durable.conf"
	printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
	chmod 755 "$1/usr/sbin/policy-rc.d"
}

# Releases that are newer than debootstrap are made as sid is.
debootstrap_script() {
	local scripts=/usr/share/debootstrap/scripts
	if [ -e "$scripts/$1" ]; then echo "$scripts/$1"; else echo "$scripts/sid"; fi
}

install_debootstrap() {
	command -v debootstrap >/dev/null && return
	command -v apt-get >/dev/null || die "debootstrap is not installed, and there is no apt-get to install it"
	say "== installing debootstrap"
	export DEBIAN_FRONTEND=noninteractive
	quietly apt-get -q -o DPkg::Lock::Timeout=120 update || say "apt-get update failed; trying with the package lists as they are"
	quietly apt-get -q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends --no-upgrade debootstrap ||
		die "debootstrap cannot be installed"
}

# Fails early and clearly where this cannot work.
check_abilities() {
	is_root || die "making and entering a chroot needs root"
	apart true 2>/dev/null || die "this machine does not let root make mount and process namespaces (unshare), which the chroot needs"
	install_debootstrap
}

# Made beside its place and moved there when complete: what is in place is whole.
make_root() {
	local new=$root.new name from
	name=$(release)
	from=$(mirror)
	say "== making $root: PostgreSQL $version of Debian $name, from $from"
	rm -rf "$new"
	mkdir -p "$new"
	quietly apart debootstrap --variant=minbase "$name" "$new" "$from" "$(debootstrap_script "$name")" ||
		die "debootstrap could not make Debian $name from $from: see above. Can the mirror be reached?"
	forbid_servers "$new"
	cp -L /etc/resolv.conf "$new/etc/resolv.conf"
	# shellcheck disable=SC2046
	quietly inside "$new" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $(packages) ||
		die "the packages of PostgreSQL $version cannot be installed in Debian $name: see above"
	inside "$new" apt-get clean
	rm -rf "$root"
	mv "$new" "$root"
}

# One run at a time in each: they install into the same place.
lock() {
	exec 9>"$cache/$version.lock"
	flock 9
}

# The tree as it is, without what is built or comes from runs.
copy_tree() {
	rm -rf "$root/durable" "$root"/tmp/durable-*
	mkdir -p "$root/durable"
	tar -C "$repo" --exclude=./.git --exclude=./tmp_check --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude=./src/core/condition_names.h -cf - . |
		tar -C "$root/durable" --no-same-owner -xf -
}

case $1 in
	make)
		check_abilities
		mkdir -p "$cache"
		lock
		[ -d "$root" ] || make_root
		;;
	run)
		[ -d "$root" ] || die "$root is not there"
		lock
		copy_tree
		shift 2
		inside "$root" env -C /durable PG_CONFIG="/usr/lib/postgresql/$version/bin/pg_config" T="${T:-}" \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
		;;
	results)
		tar -C "$root/durable/tmp_check" -cf - . ;;
	remove)
		rm -rf "$root" "$root.new" "$root.lock"
		;;
	*)
		die "usage: chroot.sh make|run|results|remove VERSION" ;;
esac
