#!/bin/sh
# customize.sh TREE: makes a sandbox of a plain Debian tree. What no sandbox needs is masked, and what is not needed
# for the first command waits until after it, so that the guest answers within seconds. Runs outside the chroot.
set -eu
tree=$1
recipe=$(dirname "$0")
system="$tree/etc/systemd/system"

rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* "$tree"/var/cache/debconf/*-old \
	"$tree"/usr/share/man/* "$tree"/usr/share/locale/* "$tree"/usr/share/info/* \
	"$tree"/etc/ssh/ssh_host_* "$tree"/etc/ssh/moduli
mkdir -p "$tree"/var/log/apt "$tree"/var/cache/apt/archives/partial "$tree"/var/lib/apt/lists/partial

# An empty machine-id keeps systemd out of its first-boot mode; each VM brings its own.
: >"$tree/etc/machine-id"
rm -f "$tree/etc/resolv.conf" "$tree/var/lib/dbus/machine-id"
ln -s /etc/machine-id "$tree/var/lib/dbus/machine-id"
: >"$tree/etc/resolv.conf"
: >"$tree/etc/fstab"
echo localhost >"$tree/etc/hostname"
chmod 644 "$tree/etc/resolv.conf" "$tree/etc/hostname" "$tree/etc/fstab"

mkdir -p "$tree/etc/systemd/system-generators" "$tree/etc/tmpfiles.d" "$tree/etc/udev/rules.d"
for name in cryptsetup debug getty gpt-auto hibernate-resume integritysetup rc-local run system-update veritysetup; do
	ln -sf /dev/null "$tree/etc/systemd/system-generators/systemd-$name-generator"
done
while read -r unit; do
	ln -sf /dev/null "$system/$unit"
done <"$recipe/masked-units"
rm -f "$system"/*.wants/*
ln -sf /lib/systemd/system/multi-user.target "$system/default.target"

cp -r --no-preserve=ownership "$recipe/rootfs/." "$tree/"
mkdir -p "$system/multi-user.target.wants"
for unit in ssh qemu-guest-agent qemu-guest-agent-vsock banger-settle; do
	ln -sf "/etc/systemd/system/$unit.service" "$system/multi-user.target.wants/$unit.service"
done
ln -sf /etc/systemd/system/ssh.service "$system/sshd.service"
while read -r unit; do
	mkdir -p "$system/$unit.d"
	printf '[Unit]\nAfter=banger-settle.service\n' >"$system/$unit.d/banger.conf"
done <"$recipe/delayed-units"

# Our unit starts the agent; udev's rule would start it a second time, and nologin would keep users out.
ln -sf /dev/null "$tree/etc/udev/rules.d/60-qemu-guest-agent.rules"
ln -sf /dev/null "$tree/etc/tmpfiles.d/systemd-nologin.conf"

# sshd without PAM refuses an account whose password field begins with "!".
sed -i 's/^root:[^:]*:/root:*:/' "$tree/etc/shadow"
