#!/bin/sh
# install-check.sh DIST: installs the binary and the Debian package of a release into a
# clean folder, and runs them there; so the formula, where there is Ruby, and the image,
# where there is buildah.
set -eu
dist=$(cd "$1" && pwd) here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
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
if command -v ruby >/dev/null; then ruby "$here/install-check.rb" "$dist/quell.rb" "$dist" "$(cat "$dist/version")"; fi
if command -v buildah >/dev/null; then
  export STORAGE_DRIVER=vfs HOME="$dir" BUILDAH_ISOLATION=chroot
  b="buildah --root $dir/store --runroot $dir/run"
  $b bud -q --build-arg TARGETARCH="$arch" -t quell -f "$here/../docs/deploy/Dockerfile" "$dist/image" >/dev/null
  c=$($b from quell)
  $b run "$c" -- /usr/local/bin/quell version
  code=0; $b run "$c" -- /usr/local/bin/quell scan log - --offline < "$dir/leak.log" > "$dir/out" || code=$?
  [ "$code" = 1 ] && grep -q 'gitlab-session-cookie' "$dir/out" || { cat "$dir/out"; echo "image: exit $code" >&2; exit 1; }
  $b inspect --format '{{.OCIv1.Config.User}}' "$c" | grep -q '^65532' || { echo "the image runs as root" >&2; exit 1; }
  $b rm "$c" >/dev/null
fi
ls -l "$dist"/quell-linux-"$arch".* | awk '{ print $5 " bytes " $9 }'
