#!/usr/bin/env bash
# Makes a Debian package of the release build: target/tandem_VERSION_ARCHITECTURE.deb
# usage: scripts/package.sh [PATH-OF-TANDEM ...]   further programs that belong to it go beside it, into /usr/bin
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
programs=("$@")
[[ $# -gt 0 ]] || programs=("$target/release/tandem" "$target/release/tandem-aws")
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v "$tool" >/dev/null || { echo "package: $tool is missing: apt-get install dpkg-dev" >&2; exit 1; }
done
for program in "${programs[@]}"; do
    [[ -x $program ]] || { echo "package: there is no $program; make build makes it" >&2; exit 1; }
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

install -D -m 755 -t "$tree/usr/bin" "${programs[@]}"
strip --strip-unneeded "$tree"/usr/bin/*
install -D -m 755 -t "$tree/usr/lib/tandem" deploy/prepare-host
install -D -m 644 -t "$tree/lib/systemd/system" deploy/systemd/*.service
install -D -m 640 configs/af-packet.yaml "$tree/etc/tandem/tandem.yaml"
install -D -m 644 -t "$tree/etc/tandem" deploy/host.conf
install -D -m 644 -t "$tree/usr/share/doc/tandem" docs/*.md CHANGELOG.md
install -D -m 644 -t "$tree/usr/share/doc/tandem/examples" configs/*.yaml configs/*.json
install -D -m 644 LICENSE "$tree/usr/share/doc/tandem/copyright"
gzip -9n "$tree/usr/share/doc/tandem/CHANGELOG.md"

# What the programs are linked with; dpkg-shlibdeps wants a source package around itself.
mkdir -p "$tree/debian" "$tree/DEBIAN"
printf 'Source: tandem\n\nPackage: tandem\nArchitecture: any\n' >"$tree/debian/control"
linked=$(cd "$tree" && dpkg-shlibdeps -O usr/bin/* 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
rm -r "$tree/debian"

cat >"$tree/DEBIAN/control" <<CONTROL
Package: tandem
Version: $version
Architecture: $architecture
Maintainer: The Tandem developers <developers@tandem-gateway.invalid>
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: $linked, librte-meta-net, librte-meta-bus, librte-meta-mempool
Recommends: iproute2, pciutils
Section: comm
Priority: optional
Description: media gateway for SIP and RTP on DPDK
 Terminates SIP calls and moves their audio between networks that share no
 codec, on poll-mode cores that take packets straight from the network card.
CONTROL
printf '/etc/tandem/tandem.yaml\n/etc/tandem/host.conf\n' >"$tree/DEBIAN/conffiles"
cat >"$tree/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
# Neither started nor restarted: a gateway without a configuration serves nobody, and one with calls is drained by its operator.
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
SCRIPT
cat >"$tree/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tandem.service tandem-host.service
fi
SCRIPT
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm"

package=$target/tandem_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$tree" "$package"
