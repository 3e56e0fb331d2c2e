#!/bin/sh
# install-check.sh DIST: installs the binary and the Debian package of a release into a
# clean folder, and runs them there.
set -eu
dist=$(cd "$1" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
arch=$(dpkg --print-architecture)
printf 'Cookie: _gitlab_session=39988b886e7577496a2c8773e130f7eb\n' > "$dir/leak.log"
try() {
  env -i HOME="$dir/home" PATH=/usr/bin:/bin "$1" version
  code=0
  env -i HOME="$dir/home" PATH=/usr/bin:/bin "$1" scan log "$dir/leak.log" --offline > "$dir/out" || code=$?
  [ "$code" = 1 ] && grep -q 'gitlab-session-cookie' "$dir/out" || { cat "$dir/out"; echo "$1: exit $code" >&2; exit 1; }
}
gunzip -c "$dist/quell-linux-$arch.gz" > "$dir/quell"
chmod 755 "$dir/quell"
try "$dir/quell"
dpkg-deb -x "$dist/quell-linux-$arch.deb" "$dir/root"
try "$dir/root/usr/bin/quell"
for f in usr/share/man/man1/quell-scan-log.1 usr/share/bash-completion/completions/quell usr/share/doc/quell/copyright; do
  [ -s "$dir/root/$f" ] || { echo "the Debian package lacks $f" >&2; exit 1; }
done
ls -l "$dist"/quell-linux-"$arch".* | awk '{ print $5 " bytes " $9 }'
