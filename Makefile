# make        build ./bin/quell
# make demo   build it and watch it once
# make test   install what the tests sign in to, which it names first, then run all of them
# make campaign  damage archives at random; kill, fill and restart what an apply depends on, 500 times each;
#             prove 20,000 kills with faults and stale replicas, answer each probe at random; look for new secrets in all output;
#             storms of live tokens, issuers that answer badly
# make lint   what staticcheck finds, code that nothing calls, and known vulnerabilities (govulncheck)
# make bench  throughput of each source on one core, and a pair with gitleaks
QUELL_TOOLS ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/quell-tools
export QUELL_TOOLS

# The flags of go run, so that neither compiles what the other has compiled.
build:
	@test -x bin/quell || echo "Compiling quell; the first time this takes a few minutes."
	go build -o bin/quell ./cmd/quell

demo: build
	./bin/quell demo

# Ten minutes, go test's own limit, are too few for a package on a slow machine while
# servers are built.
LIMIT = 40m

# The heavy servers take their time to build: they do it at low priority while
# the tests that need none of them run. QUELL_REAL=1: what was installed may not be missing.
test:
	$(MAKE) lint
	GOOS=windows go vet ./...
	GOOS=windows go build -o /dev/null ./cmd/quell
	mkdir -p $(QUELL_TOOLS)
	testdata/servers/install.sh packages node
	nice testdata/servers/install.sh vault gitea runner proxy kubernetes > $(QUELL_TOOLS)/install.log 2>&1 & pid=$$!; \
	export QUELL_REAL=1; \
	{ go test -race -timeout $(LIMIT) $$(go list ./... | grep -v internal/realtest) && \
	  go test -timeout $(LIMIT) ./scanners/detect ./scanners/archive ./cmd/quell/internal/ledger ./cmd/quell/internal/rulestest ./revokers/prove && \
	  go test -timeout $(LIMIT) ./cmd/quell/internal/serve -run TestRequestsOfADay && \
	  GODEBUG=cpu.avx2=off,cpu.bmi2=off go test -timeout $(LIMIT) ./scanners/inflate ./scanners/detect -run 'Survey|Scan|Split|Decoded|Reader|Codes|Adler'; }; status=$$?; \
	wait $$pid || { cat $(QUELL_TOOLS)/install.log; exit 1; }; \
	[ $$status -eq 0 ] && go test -race -timeout $(LIMIT) ./cmd/quell/internal/realtest

# Versions are named here, not in go.mod, so that a build of quell downloads none of their modules.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE = golang.org/x/tools/cmd/deadcode@v0.52.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOVULNDB ?= https://vuln.go.dev

# govulncheck fails for vulnerabilities in code that quell calls. Where its database can't be
# reached, a line reports that it is skipped.
lint:
	go vet ./...
	go run $(STATICCHECK) ./...
	@dead=$$(go run $(DEADCODE) -test ./...) && test -z "$$dead" || { echo "code that nothing calls:"; echo "$$dead"; exit 1; }
	@if curl -fsS -m 20 -o /dev/null "$(GOVULNDB)/index/db.json"; then go run $(GOVULNCHECK) -db "$(GOVULNDB)" ./cmd/quell; \
	else echo "govulncheck is skipped: no answer from $(GOVULNDB)"; fi

# Damaged files of every form, at random: DAMAGED of each. A failure prints QUELL_SEED.
DAMAGED = 300
campaign: campaign-archives campaign-apply campaign-proof campaign-redaction campaign-issuers campaign-ci

campaign-archives:
	QUELL_CAMPAIGN=$(DAMAGED) go test -timeout $(LIMIT) ./scanners/archive -run 'TestDamageIsNeverSilent|TestHostileInputsEndInTime' -v
	QUELL_CAMPAIGN=1 go test -timeout $(LIMIT) ./cmd/quell -run TestHostileInputsAreBounded -v

# CI systems: 1,000 runs of 1.5 MB, 20 kills, and a list of 100,000 runs.
campaign-ci:
	QUELL_CAMPAIGN=1 go test -timeout 1h -v ./cmd/quell -run 'TestScanOfManyRuns|TestScanOfRunsSurvivesKills|TestScanOfALongListOfRuns'

# Grants and consents of Ory Hydra, which takes minutes to build.
campaign-hydra:
	testdata/servers/install.sh hydra
	QUELL_CAMPAIGN=1 go test -timeout $(LIMIT) -v ./cmd/quell/internal/realtest -run TestTheConsentOfAHydraUser

# N repetitions of each campaign of package run; make test runs short ones.
N = 500
campaign-apply:
	QUELL_CAMPAIGN=$(N) go test -timeout 6h -v ./cmd/quell/internal/run -run 'Killed|Disk|FileSystem|Restarts'
	QUELL_CAMPAIGN=$(N) go test -race -timeout 1h -v ./cmd/quell/internal/run -run Opposite
	go test -v ./cmd/quell/internal/ledger -run 'BackAndForth|Manipulat|Killed|FailedWrite'

# Fault-injected kills and stale replicas on a simulated clock, baits among rightful
# kills (half of the credentials), random answers to every probe and revocation.
KILLS = 20000
BAITS = 20000
ANSWERS = 100000
campaign-proof:
	QUELL_KILLS=$(KILLS) go test -timeout 6h -v ./revokers/prove -run 'Stale|Faults'
	QUELL_KILLS=$(KILLS) go test -timeout 6h -v ./cmd/quell/internal/rulestest -run FaultsOfEveryProbe
	QUELL_ANSWERS=$(ANSWERS) go test -timeout 6h -v ./revokers/natives -run RandomAnswers
	QUELL_BAITS=$(BAITS) go test -timeout 6h -v ./cmd/quell/internal/run -run Baits

# How long new secrets are looked for in all output.
TIME = 10m
campaign-redaction:
	QUELL_CAMPAIGN=$(TIME) go test -timeout 6h -v ./cmd/quell/internal/cli -run NoOutputOfAnIncident
	go test ./cmd/quell/internal/redact -run '^$$' -fuzz FuzzRedactor -fuzztime $(TIME)

# 10,000 findings of 500 credentials at 40 issuers that answer badly, and storms of 500 live
# tokens of one issuer and of ten on a simulated clock; 200 values of each kind in ten carriers.
campaign-issuers:
	QUELL_CAMPAIGN=1 go test -timeout 1h -v ./cmd/quell/internal/run -run 'FortyIssuers|Storm'
	QUELL_ALL_VALUES=1 go test -timeout 2h ./cmd/quell/internal/rulestest -run TestValuesAreFound

# Processes of quell serve on PostgreSQL: how much faster several of them are, how long a webhook
# takes, and TIME of kills of random processes and of the server. One process on SQLite: a disk that
# is full again and again, and 100,000 jobs that wait at once.
campaign-serve:
	QUELL_CAMPAIGN=$(TIME) go test -timeout 1h -v ./cmd/quell/internal/serve -run 'FullDisk|WaitAtOnce'
	QUELL_REAL=1 QUELL_CAMPAIGN=$(TIME) go test -timeout 6h -v ./cmd/quell/internal/realtest -run 'TestServe(Throughput|Latency|Survives)'

bench:
	GOMAXPROCS=1 go test -run '^$$' -bench . ./...
	testdata/bench.sh

# What a release is made with, into ./bin.
release-tools:
	GOBIN=$(CURDIR)/bin go install github.com/goreleaser/goreleaser/v2@v2.16.0
	GOBIN=$(CURDIR)/bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0

# The commit whose sources a release is made from, and when it was made.
SOURCES = COMMIT=$$(git rev-parse HEAD) DATE=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)

# make release VERSION=1.2.3 builds all binaries and names their checksums, commit and date for
# the Action. Commit what it writes, and tag that commit v1.2.3.
release: release-tools
	@git diff --quiet HEAD -- cmd revokers rules scanners go.mod go.sum || { echo "commit the changed sources first: the binaries name the commit they are made from" >&2; exit 1; }
	$(SOURCES) && export COMMIT DATE && \
	PATH="$(CURDIR)/bin:$$PATH" VERSION=$(VERSION) goreleaser build --clean --snapshot && \
	node .github/action/release.mjs write $(VERSION) dist

# Manual pages and completions for the packages.
package-files: build
	rm -rf bin/man bin/completion && mkdir -p bin/completion
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) ./bin/quell man bin/man
	./bin/quell completion bash > bin/completion/quell.bash
	./bin/quell completion fish > bin/completion/quell.fish
	./bin/quell completion zsh > bin/completion/_quell

# All files of a release from the present sources, in dist; the binary and the Debian
# package are installed into a clean folder and run there.
release-snapshot: release-tools package-files
	$(SOURCES) && export COMMIT DATE && \
	if ! git diff --quiet HEAD -- cmd revokers rules scanners go.mod go.sum; then COMMIT=$$COMMIT-dirty; fi && \
	PATH="$(CURDIR)/bin:$$PATH" VERSION=0.0.0 goreleaser release --clean --snapshot --skip=publish,announce
	$(MAKE) release-more VERSION=0.0.0
	testdata/install-check.sh dist $$(git rev-parse HEAD)

# What goreleaser does not make, from its files: the Homebrew formula, and the folder that
# the container image is built from.
release-more:
	echo $(VERSION) > dist/version
	.github/formula.sh $(VERSION) dist > dist/quell.rb
	rm -rf dist/image && mkdir -p dist/image/home
	for a in amd64 arm64; do gunzip -c dist/quell-linux-$$a.gz > dist/image/quell-linux-$$a && chmod 755 dist/image/quell-linux-$$a || exit 1; done
	cp /etc/ssl/certs/ca-certificates.crt dist/image/
	cp docs/deploy/Dockerfile dist/image/

docs: build
	go test ./cmd/quell/internal/house -run 'ProviderPages|Coverage' -update
	go test ./cmd/quell/internal/policy -run Document -update

# The picture of the README. Its times and ports differ in each run.
picture: build
	testdata/picture.py bin/quell > docs/terminal.svg

clean:
	rm -rf bin dist

.PHONY: build demo test lint campaign campaign-archives campaign-apply campaign-proof bench docs picture release release-tools release-snapshot package-files campaign-redaction campaign-issuers campaign-serve campaign-ci release-more clean
