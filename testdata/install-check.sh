#!/bin/sh
# install-check.sh DIST COMMIT: installs the binary and the Debian package of a release that is
# made from COMMIT into a clean folder, and runs them there; so the formula, where there is
# Ruby, and the image, where there is buildah. All files that README.md names have to be there.
set -eu
dist=$(cd "$1" && pwd) commit=$2 here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
arch=$(dpkg --print-architecture)
printf 'Cookie: _gitlab_session=39988b886e7577496a2c8773e130f7eb\n' > "$dir/leak.log"
for os in linux darwin windows; do
  for cpu in amd64 arm64; do
    for f in gz cdx.json; do [ -s "$dist/quell-$os-$cpu.$f" ] || { echo "no quell-$os-$cpu.$f" >&2; exit 1; }; done
  done
done
for f in quell-linux-amd64.deb quell-linux-arm64.deb quell-linux-amd64.rpm quell-linux-arm64.rpm quell.rb; do
  [ -s "$dist/$f" ] || { echo "no $f" >&2; exit 1; }
done
(cd "$dist" && sha256sum --quiet -c checksums.txt)
is_ours() { # VERSION'S LINE
  echo "$1"
  case $1 in
  *", commit $(echo "$commit" | cut -c1-12)"*", "20[0-9][0-9]-*T*Z,*) ;;
  *) echo "this version does not name commit $commit and its date" >&2; exit 1 ;;
  esac
}
try() {
  is_ours "$(env -i HOME="$dir/home" PATH=/usr/bin:/bin "$1" version)"
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
if command -v ruby >/dev/null; then ruby "$here/install-check.rb" "$dist/quell.rb" "$dist" "$(cat "$dist/version")"; fi
if command -v buildah >/dev/null; then
  export STORAGE_DRIVER=vfs HOME="$dir" BUILDAH_ISOLATION=chroot
  b="buildah --root $dir/store --runroot $dir/run"
  $b bud -q --build-arg TARGETARCH="$arch" -t quell -f "$here/../docs/deploy/Dockerfile" "$dist/image" >/dev/null
  c=$($b from quell)
  is_ours "$($b run "$c" -- /usr/local/bin/quell version < /dev/null)"
  code=0; $b run "$c" -- /usr/local/bin/quell scan log - --offline < "$dir/leak.log" > "$dir/out" || code=$?
  [ "$code" = 1 ] && grep -q 'gitlab-session-cookie' "$dir/out" || { cat "$dir/out"; echo "image: exit $code" >&2; exit 1; }
  $b inspect --format '{{.OCIv1.Config.User}}' "$c" | grep -q '^65532' || { echo "the image runs as root" >&2; exit 1; }
  $b rm "$c" >/dev/null
fi
ls -l "$dist"/quell-*.gz "$dist"/*.deb "$dist"/*.rpm | awk '{ print $5 " bytes " $9 }'
for f in "$dist"/quell-*.gz; do gunzip -c "$f" | wc -c | sed "s|\$| bytes unpacked: $f|"; done
# The sizes are those that README.md states, in 1,000,000 bytes.
sed -n 's/.*(`quell-OS-ARCH.gz`, \([0-9]*\)–\([0-9]*\) MB, \([0-9]*\)–\([0-9]*\) MB unpacked.*/\1 \2 \3 \4/p' "$here/../README.md" > "$dir/sizes"
read -r least most least_unpacked most_unpacked < "$dir/sizes"
within() { # BYTES LEAST MOST FILE
  mb=$((($1 + 500000) / 1000000))
  [ "$mb" -ge "$2" ] && [ "$mb" -le "$3" ] || { echo "$4 has $mb MB, and README.md states $2 to $3" >&2; exit 1; }
}
for f in "$dist"/quell-*.gz; do
  within "$(wc -c < "$f")" "$least" "$most" "$f"
  within "$(gunzip -c "$f" | wc -c)" "$least_unpacked" "$most_unpacked" "$f, unpacked,"
done
