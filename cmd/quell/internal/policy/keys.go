package policy

import (
	"strings"
)

// Key describes a key of the policy file.
type Key struct {
	Name    string // with its tables: "kill.max"
	Default string // the value if it is not set; empty: none
	Doc     string
}

// keys describes each key; a test compares it with the file's types. docs/policy.md
// and quell providers print it.
var keys = []Key{
	{"version", "", "the version of the file's form: 1. Required"},
	{"kill.disabled", "false", "the switch: nothing is killed, rotated, restored or deleted. `QUELL_NO_KILL=1` does the same"},
	{"kill.tiers", `["self", "admin"]`, "which revocations may be sent: `self` needs the leaked credential alone, `admin` one of yours, `collateral` ends more than the one credential"},
	{"kill.max", "25", "kills of one plan, over all of its applies"},
	{"kill.max_age", `"15m"`, "how old a plan may be, for items that were not begun"},
	{"kill.max_replica_risk", "none", "Confirmed needs a chance of a missed stale replica of at most this number, 0 to 1; without it the chance is shown and decides nothing"},
	{"kill.delay", "none", "time between the notice and a kill of tier `collateral`"},
	{"own.provider", "", "the id of a provider whose other users are strangers: `quell providers`"},
	{"own.url", "the public hosts", "the instance at which the identity counts"},
	{"own.identity", "", "values of the field that decides ownership, as `quell providers ID` names it"},
	{"own.name", "", "for people; decides nothing"},
	{"canaries", "", "fingerprints of credentials that are never contacted"},
	{"recipients", "this installation", "age public keys that plans and reports are sealed to"},
	{"rules", "", "further rules files, as `--rules` takes; a relative path begins at the policy's folder"},
	{"notify", "", "webhooks that get notice of kills of tier `collateral`: a URL, `env:NAME` or `file:PATH`"},
	{"evidence", "next to the ledger", "folder of the sealed copies that are kept of logs and artifacts before they are deleted; a relative path begins at the policy's folder"},
	{"legal_hold", "false", "nothing is deleted: logs and artifacts that leaked stay. It does not stop kills"},
	{"approvals", "0", "different people who must approve a plan before `quell serve` sends it, on its page or by its API. `quell apply` does not check it"},
	{"instance.provider", "", "the id of the provider: `quell providers`. Required"},
	{"instance.url", "", "its address, https or on this machine; an application below a path has the path in it. Required"},
	{"instance.own", "false", "everything that it issues is yours"},
	{"instance.elsewhere", "true", "`false`: no other server of yours issues credentials of this form, so a refusal is about the credential"},
	{"instance.cookie", "", "the name of the session's cookie: every value under it is a session of this instance"},
	{"instance.probe_path", "", "a page that only a signed-in user gets"},
	{"instance.logout_path", "", "the page that ends a session"},
	{"instance.logout_method", "`POST`", "the method of the request that ends a session"},
	{"instance.login_path", "", "where users who are not signed in are sent"},
	{"instance.live_marker", "", "text that only a signed-in user sees"},
	{"instance.dead_marker", "", "text that only an ended session gets: in the body, or in the address of a redirect"},
	{"instance.csrf", "none", "where the logout's CSRF token is read: `form`, `link`, `input:NAME`, `meta:NAME`, `cookie:NAME`, `json:PATH`, `header:NAME` or `double:NAME`"},
	{"instance.csrf_path", "`probe_path`", "the page that has the token"},
	{"instance.csrf_to", "where frameworks expect it", "where the token is sent: `form:NAME`, `header:NAME`, `json:NAME` or `query:NAME`"},
	{"instance.headers", "none", "further headers of the probe and the logout; `{csrf}` and `{origin}` are filled in"},
	{"instance.sessions_db", "", "the database that keeps the application's sessions, as the name of a secret: `postgres://USER:PASSWORD@HOST/DATABASE` or `sqlite:PATH`. A session is ended by deleting its row"},
	{"instance.sessions_table", "the framework's", "table and column of the session's key: `TABLE.COLUMN`"},
	{"instance.user", "", "the account, where the credential does not contain it: a database user, an e-mail"},
	{"instance.namespace", "", "the organisation, project or Vault namespace"},
	{"instance.settle", "the provider's", "how long it may take until every replica knows of a kill"},
	{"instance.admin", "", "your credential that revocations of tier `admin` use"},
	{"instance.client_id", "the provider's public client", "your OAuth client"},
	{"instance.client_secret", "", "its secret"},
	{"instance.control", "", "a live credential of your own, probed together with the leaked one"},
	{"instance.controls.rule", "", "the rule whose credentials this control is for"},
	{"instance.controls.parts", "", "the control's parts by name; `token` is the credential itself"},
	{"instance.ca", "the system's", "file of certificates (PEM) that sign the server's"},
	{"instance.client_cert", "", "file of a certificate and its key (PEM) that quell presents"},
	{"instance.proxy", "none", "http, https or socks5 URL, or `env:NAME` or `file:PATH` of one with a password; the environment's proxies are ignored"},
	{"instance.revocation", "the narrowest", "the id of the revocation to use where a rule has it, such as `user` for all sessions of the user: `quell providers ID` lists them"},
	{"instance.revoke_orphan", "false", "a Vault: end a token by `revoke-orphan`, which needs sudo and leaves its children alive"},
	{"instance.login.method", "", "a Vault: how quell signs in instead of by `admin`: `approle`, `kubernetes`, `jwt`, `cert` or `aws`"},
	{"instance.login.mount", "the method", "the path of the auth mount"},
	{"instance.login.role", "", "the role of `kubernetes`, `jwt`, `cert` or `aws`"},
	{"instance.login.role_id", "", "of `approle`"},
	{"instance.login.secret_id", "", "of `approle`: `env:NAME` or `file:PATH`"},
	{"instance.login.wrapped", "false", "`secret_id` is a response-wrapping token"},
	{"instance.login.jwt", "the pod's token", "of `kubernetes` or `jwt`: `env:NAME` or `file:PATH`"},
	{"instance.login.github_audience", "", "of `jwt`: GitHub Actions issues the token, for this audience"},
	{"instance.login.aws_key", "the environment's", "of `aws`: `env:NAME` or `file:PATH` of `ID:SECRET` or `ID:SECRET:SESSION`, which signs and is not sent"},
	{"instance.login.aws_region", "the global endpoint", "of `aws`: the region of the STS endpoint that the mount is configured with"},
	{"instance.login.aws_server_id", "", "of `aws`: the mount's `iam_server_id_header_value`"},
	{"instance.managed.kv", "none", "a Vault: KV version 2 secrets that `quell plan` searches for leaked values, as `secret/ci/app`; a slash at the end means all below"},
	{"instance.managed.static_roles", "none", "static roles whose password is compared, as `database/app`"},
	{"instance.managed.approles", "none", "AppRoles that are asked about secret ids, as `approle/ci`"},
	{"instance.managed.audit", "", "the audit device by whose digest a token or secret id is found in its log"},
	{"instance.managed.audit_log", "", "the file that the device writes: `quell plan` shows what a leaked token or secret id has used"},
	{"instance.rotate.vault", "", "address of the Vault that issues the replacement"},
	{"instance.rotate.rule", "every rule", "the rule whose credentials the rotation is for; each entry of `[[instance.rotations]]` has one"},
	{"instance.rotate.engine", "`database`", "the kind of `static_role` and `root`: `database`, `ldap`, `aws`, `gcp`, `azure` or `terraform`"},
	{"instance.rotate.static_role", "", "its static role, as `database/app`"},
	{"instance.rotate.other_role", "", "a second static role with the same rights, which takes turns with `static_role`"},
	{"instance.rotate.other_user", "", "its user"},
	{"instance.rotate.user_field", "none", "the field of the secret in `kv` that has the user's name"},
	{"instance.rotate.root", "", "the engine whose own credential leaked, as `database/pg`"},
	{"instance.rotate.lease", "", "the id of the lease that ends"},
	{"instance.rotate.approle", "", "the AppRole whose secret id leaked, as `approle/ci`"},
	{"instance.rotate.reissue", "false", "the leaked token is replaced by one with its policies"},
	{"instance.rotate.token_role", "none", "the token role that issues the replacement"},
	{"instance.rotate.policies", "those of the leaked token", "the policies of the replacement of `reissue`"},
	{"instance.rotate.userpass", "", "the user whose password leaked, as `userpass/alice`"},
	{"instance.rotate.pki", "", "the certificate whose key leaked, as `pki/SERIAL`"},
	{"instance.rotate.transit", "", "the key whose older versions are refused, as `transit/app`"},
	{"instance.rotate.entity", "", "the id of the identity entity that is disabled"},
	{"instance.rotate.accessors", "none", "accessors of further tokens that end"},
	{"instance.rotate.tokens", "false", "end the tokens that `approle` or `userpass` issued before; needs sudo on the list of accessors"},
	{"instance.rotate.kv", "", "where consumers read the value, as `secret/app#password`"},
	{"instance.rotate.value", "", "the replacement for `kv`"},
	{"instance.rotate.generate", "", "the Vault password policy that makes the replacement, or `default`"},
	{"instance.rotate.destroy", "false", "destroy the versions of `kv` that hold the leaked value, last"},
	{"instance.rotate.stores", "none", "further places that builds read; see docs/vault.md"},
	{"instance.rotate.sessions", "false", "end the database sessions of the old password"},
	{"instance.rotate.reload.url", "", "a health check of the consumers that is polled before the old value ends"},
	{"instance.rotate.reload.marker", "", "text that its answer has once they use the new value; `{version}` is the new version of `kv`"},
	{"instance.rotate.reload.audit", "", "an audit device: its log has to show that another than quell has read or used the new value"},
	{"instance.rotate.reload.audit_log", "", "the file that the device writes"},
	{"instance.rotate.reload.wait", "none", "the least time that they get"},
	{"instance.rotate.reload.timeout", "`2m`", "the most time that they get"},
}

// Keys describes all keys of the policy file, in its order.
func Keys() []Key {
	out := append([]Key(nil), keys...)
	for _, k := range keys {
		if after, ok := strings.CutPrefix(k.Name, "instance.rotate."); ok {
			out = append(out, Key{"instance.rotations." + after, k.Default, k.Doc})
		}
	}
	return out
}
