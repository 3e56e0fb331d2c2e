#!/usr/bin/env bash
# Installs what the tests sign in to: Debian's packages, npm's, and Vault, Gitea, oauth2-proxy
# and Kubernetes' API server built from their modules. It starts nothing and may run again at once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${QUELL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/quell-tools}

packages() {
  local want=(buildah umoci skopeo busybox-static docker-registry tomcat10 python3-django python3-flask python3-flask-login ruby-sinatra ruby-webrick ruby-railties libmojolicious-perl python3-tornado python3-cherrypy3 php-cli php-mysql wordpress wordpress-theme-twentytwentythree micro-httpd mariadb-server-core mariadb-client redis-server redis-tools strace postgresql slapd etcd-server git xz-utils bzip2 p7zip pre-commit systemd) missing=() p
  for p in "${want[@]}"; do dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
  command -v npm >/dev/null || missing+=(nodejs npm)
  # Ubuntu has no such package, and its machines of CI have Chrome.
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || { echo "install by hand: ${missing[*]}" >&2; exit 1; }
  local sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "Debian packages that the tests sign in to, and that are missing: ${missing[*]}"
  # Packages of servers would start them, on all interfaces. What refuses that is
  # removed again.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap "$sudo rm -f /usr/sbin/policy-rc.d" EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo install -m 755 /dev/stdin /usr/sbin/policy-rc.d
  fi
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# No script of a package runs: lefthook's would make hooks in this repository.
node() { cd "$here/node"; [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --ignore-scripts; }

# Vault 1.21.1 is the newest release whose own sdk was published as a module. Engines that
# a minimal build lacks are plugins of the same versions.
vault() {
  local v=v1.21.1 sdk=v0.20.0 dir="$tools/vault-v1.21.1" src p missing=0
  local plugins=(
    postgresql-database-plugin=github.com/hashicorp/vault/plugins/database/postgresql/postgresql-database-plugin
    aws-auth=github.com/hashicorp/vault/builtin/credential/aws/cmd/aws
    aws-secrets=github.com/hashicorp/vault/builtin/logical/aws/cmd/aws
    vault-plugin-secrets-openldap=github.com/hashicorp/vault-plugin-secrets-openldap/cmd/vault-plugin-secrets-openldap
    vault-plugin-secrets-terraform=github.com/hashicorp/vault-plugin-secrets-terraform/cmd/vault-plugin-secrets-terraform
  )
  for p in vault "${plugins[@]%%=*}"; do [ -x "$dir/$p" ] || missing=1; done
  [ $missing = 1 ] || return 0
  mkdir -p "$dir/src"; cd "$dir/src"
  (cd / && go mod download github.com/hashicorp/vault@$v)
  src=$(go env GOMODCACHE)/github.com/hashicorp/vault@$v
  sed -e 's#^module github.com/hashicorp/vault$#module vaultserver#' -e '/^replace github.com\/hashicorp\/vault/d' "$src/go.mod" > go.mod
  cat "$src/go.sum" > go.sum
  go mod edit -require github.com/hashicorp/vault@$v -replace github.com/hashicorp/vault/sdk=github.com/hashicorp/vault/sdk@$sdk
  printf 'package main\n\nimport (\n\t"os"\n\n\t"github.com/hashicorp/vault/command"\n)\n\nfunc main() { os.Exit(command.Run(os.Args[1:])) }\n' > main.go
  export GOWORK=off GOFLAGS=-mod=mod
  [ -x "$dir/vault" ] || go build -tags minimal -trimpath -ldflags '-s -w' -o "$dir/vault" .
  for p in "${plugins[@]}"; do
    [ -x "$dir/${p%%=*}" ] || go build -tags minimal -trimpath -ldflags '-s -w' -o "$dir/${p%%=*}" "${p#*=}"
  done
}

gitea() {
  local v=v1.26.0 dir="$tools/gitea-v1.26.0" src
  [ -x "$dir/gitea" ] && [ -d "$dir/templates" ] && return
  mkdir -p "$dir/src"; cd "$dir/src"
  (cd / && go mod download code.gitea.io/gitea@$v)
  src=$(go env GOMODCACHE)/code.gitea.io/gitea@$v
  sed 's#^module code.gitea.io/gitea$#module giteaserver#' "$src/go.mod" > go.mod
  cat "$src/go.sum" > go.sum; cat "$src/main.go" > main.go; cat "$src/main_timezones.go" > main_timezones.go
  go mod edit -require code.gitea.io/gitea@$v
  GOWORK=off GOFLAGS=-mod=mod go build -tags 'sqlite sqlite_unlock_notify' -trimpath -ldflags '-s -w' -o "$dir/gitea" .
  cp -r "$src/templates" "$src/options" "$src/public" "$dir/"
  chmod -R u+w,a+rX "$dir"
}

# Kubernetes' API server. Its parts are modules of their own, which its go.mod names as
# directories; etcd is Debian's.
kubernetes() {
  local v=v1.34.4 parts=v0.34.4 dir="$tools/kube-apiserver-v1.34.4" src x=k8s.io/component-base/version
  [ -x "$dir/kube-apiserver" ] && return
  mkdir -p "$dir/src"; cd "$dir/src"
  (cd / && go mod download k8s.io/kubernetes@$v)
  src=$(go env GOMODCACHE)/k8s.io/kubernetes@$v
  sed -e 's#^module k8s.io/kubernetes$#module apiserver#' -e "s#=> ./staging/src/\(k8s.io/[a-z0-9.-]*\)\$#=> \\1 $parts#" "$src/go.mod" > go.mod
  cat "$src/go.sum" > go.sum; cat "$src/cmd/kube-apiserver/apiserver.go" > main.go
  go mod edit -require k8s.io/kubernetes@$v
  GOWORK=off GOFLAGS=-mod=mod go build -trimpath -ldflags "-s -w -X $x.gitVersion=$v -X $x.gitMajor=1 -X $x.gitMinor=34" -o "$dir/kube-apiserver" .
}

# What keeps sessions of other applications, in a cookie or in Redis.
proxy() {
  local v=v7.15.6 dir
  dir="$tools/oauth2-proxy-$v"
  [ -x "$dir/oauth2-proxy" ] || GOBIN="$dir" go install -trimpath -ldflags '-s -w' github.com/oauth2-proxy/oauth2-proxy/v7@$v
}

# An issuer with consents, for make campaign-hydra.
hydra() {
  local v=v2.3.0 dir="$tools/hydra-v2.3.0" src
  [ -x "$dir/hydra" ] && return
  mkdir -p "$dir/src"; cd "$dir/src"
  (cd / && go mod download github.com/ory/hydra/v2@$v)
  src=$(go env GOMODCACHE)/github.com/ory/hydra/v2@$v
  # Its client is a module of the same repository, and published.
  sed -e 's#^module github.com/ory/hydra/v2$#module hydraserver#' -e '/^replace github.com\/ory\/hydra-client-go/d' "$src/go.mod" > go.mod
  cat "$src/go.sum" > go.sum
  printf 'package main\n\nimport "github.com/ory/hydra/v2/cmd"\n\nfunc main() { cmd.Execute() }\n' > main.go
  go mod edit -require github.com/ory/hydra/v2@$v
  GOWORK=off GOFLAGS=-mod=mod go build -trimpath -ldflags '-s -w' -o "$dir/hydra" .
}

# What runs and reads workflows: a runner without GitHub, and a linter.
runner() {
  [ -x "$tools/act-v0.2.89/act" ] || GOBIN="$tools/act-v0.2.89" go install github.com/nektos/act@v0.2.89
  [ -x "$tools/actionlint-v1.7.12/actionlint" ] || GOBIN="$tools/actionlint-v1.7.12" go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
}

if [ $# -eq 0 ]; then set -- packages node vault gitea runner proxy kubernetes; fi
echo "$0 installs: $* (packages: Debian's, by apt-get; node: npm modules in $here/node; vault, gitea, runner, proxy and kubernetes: built into $tools)"
for step in "$@"; do
  began=$(date +%s); ("$step"); echo "$step ready in $(($(date +%s) - began)) s"
done
