package cli

// examples are shown in help, by the command. A test runs their parts through the
// parser.
var examples = map[string]string{
	"quell": `  quell demo
  quell scan log build.log
  quell scan git . --range main..HEAD`,
	"scan": `  quell scan log build.log
  quell scan path . --offline`,
	"scan log": `  quell scan log build.log
  gh run view 1234 --log | quell scan log -
  quell scan log run.zip --report sarif=quell.sarif`,
	"scan git": `  quell scan git .
  quell scan git . --range origin/main..HEAD
  quell scan git https://git.example.com/team/app.git --since 30d`,
	"scan image": `  quell scan image registry.example.com/team/app:latest
  quell scan image ./oci-layout --platform linux/arm64`,
	"scan path": `  quell scan path .
  quell scan path dist/ --fail-on found --show all`,
	"scan github": `  quell scan github octo-org/app --since 30d
  quell scan github octo-org --artifacts`,
	"scan gitlab":     `  quell scan gitlab example-group/app --since 30d`,
	"scan gitea":      `  quell scan gitea example-org --url https://gitea.example.com`,
	"scan jenkins":    `  quell scan jenkins https://jenkins.example.com --runs 20`,
	"scan azure":      `  quell scan azure example-org/project --since 30d`,
	"scan bitbucket":  `  quell scan bitbucket workspace/repo --runs 20`,
	"scan buildkite":  `  quell scan buildkite example-org/pipeline --since 30d`,
	"scan circleci":   `  quell scan circleci gh/example-org/app --runs 20`,
	"scan drone":      `  quell scan drone owner/repo --url https://drone.example.com`,
	"scan teamcity":   `  quell scan teamcity Project --url https://teamcity.example.com`,
	"scan travis":     `  quell scan travis owner/repo --runs 20`,
	"scan woodpecker": `  quell scan woodpecker owner/repo --url https://ci.example.com`,
	"check": `  quell check report.jsonl
  pass show ci/token | quell check
  quell check --rule github-pat - < token.txt`,
	"plan": `  quell plan report.jsonl --output plan.json`,
	"apply": `  quell apply plan.json
  quell apply plan.json --dry-run
  quell apply plan.json --only 1,3`,
	"contain":        `  quell contain log build.log --policy ~/.config/quell/policy.toml`,
	"contain log":    `  quell contain log build.log --policy ~/.config/quell/policy.toml`,
	"contain git":    `  quell contain git . --policy ~/.config/quell/policy.toml`,
	"contain image":  `  quell contain image ./oci-layout --policy ~/.config/quell/policy.toml`,
	"contain path":   `  quell contain path dist/ --policy ~/.config/quell/policy.toml`,
	"contain github": `  quell contain github octo-org/app --policy ~/.config/quell/policy.toml`,
	"restore":        `  quell restore 312769d7`,
	"recheck": `  quell recheck
  quell recheck --due
  quell recheck --purge`,
	"ledger": `  quell ledger
  quell ledger 312769d7
  quell ledger --verify
  quell ledger --export ledger.jsonl`,
	"serve": `  quell serve --config serve.toml --check
  quell serve --config serve.toml --state postgres://quell@db.example/quell`,
	"policy": `  quell policy init
  quell policy check`,
	"policy init": `  quell policy init
  quell policy init --instance express=https://app.example.com,probe_path=/me,logout_path=/logout`,
	"policy add":     `  quell policy add --instance gitlab=https://gitlab.example.com,admin=env:GITLAB_ADMIN_TOKEN`,
	"policy check":   `  quell policy check --policy policy.toml`,
	"rules":          `  quell rules list`,
	"rules list":     `  quell rules list`,
	"rules explain":  `  quell rules explain github-pat`,
	"rules test":     `  quell rules test my-provider.toml`,
	"rules convert":  `  quell rules convert my-provider.toml`,
	"hook":           `  quell hook install`,
	"hook install":   `  quell hook install`,
	"hook uninstall": `  quell hook uninstall`,
	"hook run":       `  quell hook run`,
	"demo": `  quell demo
  quell demo --keep`,
	"config":       `  quell config show`,
	"config show":  `  QUELL_FAIL_ON=live quell config show`,
	"vault":        `  quell vault policy`,
	"vault policy": `  quell vault policy https://vault.example.com`,
	"version": `  quell version
  quell version --json`,
	"man":    `  quell man ./man`,
	"action": `  quell action`,
}
