#!/bin/sh
# formula.sh VERSION DIST: prints the Homebrew formula of the release whose files are in
# DIST. A tap is a repository with this file as Formula/quell.rb.
set -eu
version=$1 sums=$2/checksums.txt
sum() { awk -v f="quell-$1.gz" '$2 == f { print $1; n++ } END { exit n != 1 }' "$sums" || { echo "$sums does not list quell-$1.gz" >&2; exit 1; }; }
on() { # SYSTEM GOOS
  printf '  on_%s do\n' "$1"
  for cpu in arm:arm64 intel:amd64; do
    printf '    on_%s do\n      url "https://github.com/quellhq/quell/releases/download/v%s/quell-%s-%s.gz"\n      sha256 "%s"\n    end\n' \
      "${cpu%:*}" "$version" "$2" "${cpu#*:}" "$(sum "$2-${cpu#*:}")"
  done
  printf '  end\n'
}
cat <<EOF
# Made by .github/formula.sh.
class Quell < Formula
  desc "Find leaked tokens and sessions, end them, and prove that they are dead"
  homepage "https://github.com/quellhq/quell"
  version "$version"
  license "Apache-2.0"

$(on macos darwin)
$(on linux linux)

  def install
    bin.install Dir["quell-*"].first => "quell"
    system bin/"quell", "man", man1
    generate_completions_from_executable(bin/"quell", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/quell version")
    (testpath/"leak.log").write "Cookie: _gitlab_session=#{"0a1b2c3d"*4}\n"
    assert_match "gitlab-session-cookie", shell_output("#{bin}/quell scan log leak.log --offline", 1)
  end
end
EOF
