#!/bin/sh
# Installs what Tandem needs on Debian 12, and only what is missing.
#
#   scripts/setup.sh [build] [demo] [test] [bench]     default: build demo
#
#   build   compilers and headers to build everything
#   demo    the programs that `make demo` calls
#   test    the peers and tools that the tests call: softphones, proxies, databases, a browser (Debian starts some of them as services)
#   bench   the peers and tools that `make bench` compares with, where they are wanted
#
# Runs apt as root or through sudo, and not at all when nothing is missing. Does not install Rust, but says how.
set -eu

build="build-essential clang cmake libclang-dev libdpdk-dev pkg-config"
demo="ethtool iproute2 jq sip-tester tcpdump"
test="baresip-core chromium dnsmasq-base haproxy iputils-arping kamailio kamailio-tls-modules linphone-cli nftables openssl postgresql procps python3-venv redis-server sipvicious tshark"
bench="libbcg729-0 libopus0 libspandsp2 libsrtp2-1 linux-perf rtpengine-daemon valgrind"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

wanted=
for group in ${*:-build demo}; do
    case $group in
        build) wanted="$wanted $build" ;;
        demo) wanted="$wanted $demo" ;;
        test) wanted="$wanted $test" ;;
        bench) wanted="$wanted $bench" ;;
        *) fail "no such group: $group. There are: build demo test bench" ;;
    esac
done

command -v dpkg-query >/dev/null ||
    fail "this is not Debian. Install these by your own means, under the names they have there:$wanted"

missing=
for package in $wanted; do
    # "ii" is installed; "rc" (removed, configuration left) and unknown are not.
    case $(dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
        ii*) ;;
        *) missing="$missing $package" ;;
    esac
done

if [ -z "$missing" ]; then
    say "all packages are there"
else
    say "missing:$missing"
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        fail "not root and no sudo. As root: apt-get install$missing"
    fi
    # Without recommends: they would bring desktop and documentation packages. What DPDK needs at run time, its drivers, it depends on.
    # shellcheck disable=SC2086
    install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing; }
    # The package lists of a fresh machine are empty or old: renew them when an installation fails, not each time.
    if ! install; then
        say "renewing the package lists and trying again"
        $as_root apt-get update || fail "apt-get update failed: is the network there?"
        install || fail "apt-get could not install:$missing"
    fi
fi

# What checks the CloudFormation templates and what stands in for Route 53 and CloudWatch are no Debian packages. They stay in the
# build directory.
case $* in *test*)
    tools=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tools
    if [ ! -x "$tools/bin/cfn-lint" ]; then
        say "cfn-lint goes to $tools"
        python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check cfn-lint==1.58.0 ||
            fail "cfn-lint could not be installed from PyPI into $tools"
    fi
    if [ ! -x "$tools/bin/moto_server" ]; then
        say "moto goes to $tools"
        "$tools/bin/python3" -m pip install --quiet --disable-pip-version-check 'moto[route53,cloudwatch,server]==5.2.5' ||
            fail "moto could not be installed from PyPI into $tools"
    fi
    ;;
esac

if command -v cargo >/dev/null || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    # rustup reads rust-toolchain.toml and fetches that release when cargo is first called here.
    say "cargo is there"
else
    fail "Rust is missing. Install rustup (https://rustup.rs), which then fetches the release that rust-toolchain.toml names:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain none
    . \"\$HOME/.cargo/env\""
fi
