#!/bin/sh
# kernel.sh TREE: puts Debian's cloud kernel and its modules into the tree, without its package: so neither
# initramfs-tools nor a boot loader comes along. Runs outside the chroot with mmdebstrap's own apt configuration.
set -eu
tree=$1
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
download="$tree/var/cache/banger-kernel"
mkdir -p "$download"
cd "$download"
package=$(apt-cache depends --important linux-image-cloud-amd64 |
	sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
[ -n "$package" ] || {
	echo "E: these package sources have no cloud kernel" >&2
	exit 1
}
echo "I: downloading $package" >&2
apt-get -o APT::Sandbox::User=root download "$package" >&2
mkdir unpacked
dpkg-deb --fsys-tarfile ./*.deb | tar -x -C unpacked ./boot ./lib/modules
version=$(ls unpacked/lib/modules)
mkdir -p "$tree/usr/lib/modules" "$tree/boot"
mv "unpacked/lib/modules/$version" "$tree/usr/lib/modules/"
mv "unpacked/boot/vmlinuz-$version" "$tree/boot/vmlinuz"
cd /
rm -rf "$download"
depmod -b "$tree" "$version" 2>/dev/null || chroot "$tree" depmod "$version"
