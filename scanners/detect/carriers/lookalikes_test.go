package carriers

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// A lookalike is a value that looks random and grants nothing, with names that are used for it.
type lookalike struct {
	name  string
	names []string
	make  func(d generator) string
}

var lookalikes = []lookalike{
	{"request id", []string{"request_id", "X-Request-Id", "requestId", "correlation_id", "x-amzn-RequestId", "trace_id", "traceId", "span_id"}, generator.uuid},
	{"hex trace id", []string{"trace_id", "traceId", "x-b3-traceid", "dd.trace_id", "transaction_id"}, func(d generator) string { return d.from(hexes, 32) }},
	{"traceparent", []string{"traceparent"}, func(d generator) string { return "00-" + d.from(hexes, 32) + "-" + d.from(hexes, 16) + "-01" }},
	{"idempotency", []string{"idempotency_token", "IdempotencyToken", "Idempotency-Key", "ClientRequestToken", "client_request_token", "clientToken", "RequestToken", "ChangeToken", "LockToken", "CreatorRequestId"}, generator.uuid},
	{"paging", []string{"nextToken", "next_page_token", "pageToken", "continuation_token", "NextContinuationToken", "ContinuationToken", "resumeToken", "sync_token", "nextSyncToken"}, func(d generator) string { return d.from(b64, 43) + "=" }},
	{"cross-site request", []string{"csrf_token", "csrfToken", "csrfmiddlewaretoken", "X-CSRF-Token", "authenticity_token", "__RequestVerificationToken", "_csrf", "XSRF-TOKEN", "X-XSRF-TOKEN", "form_token"}, func(d generator) string { return d.from(b64url, 43) }},
	{"commit", []string{"commit", "GIT_COMMIT", "CI_COMMIT_SHA", "revision", "vcs.revision", "GITHUB_SHA", "sha", "head_sha", "ref"}, func(d generator) string { return d.from(hexes, 40) }},
	{"sha-256", []string{"digest", "sha256", "checksum", "content_hash", "sourceHash", "image_digest", "integrity", "file_hash", "key_hash", "token_sha256", "hashed_secret", "cache_key_hash"}, func(d generator) string { return d.from(hexes, 64) }},
	{"md5", []string{"md5", "etag", "ETag", "Content-MD5", "checksum", "file_md5", "hash"}, func(d generator) string { return d.from(hexes, 32) }},
	{"digest with its name", []string{"digest", "image", "integrity", "cert_hash", "discovery-token-ca-cert-hash", "key_id", "token_hash"}, func(d generator) string { return "sha256:" + d.from(hexes, 64) }},
	{"subresource integrity", []string{"integrity", "sri", "checksum", "resolved_integrity"}, func(d generator) string { return "sha512-" + d.from(b64, 86) + "==" }},
	{"public key token", []string{"PublicKeyToken", "publicKeyToken"}, func(d generator) string { return d.from(hexes, 16) }},
	{"fingerprint", []string{"fingerprint", "thumbprint", "ssh_fingerprint", "key_fingerprint"}, func(d generator) string { return "SHA256:" + d.from(b64, 43) }},
	{"certificate thumbprint", []string{"thumbprint", "CertificateThumbprint", "x5t", "serial_number"}, func(d generator) string { return strings.ToUpper(d.from(hexes, 40)) }},
	{"key identifier", []string{"kid", "key_id", "keyId", "KeyId", "signing_key_id", "kms_key_id", "access_key_id_ref", "api_key_id", "token_id", "session_key_id"}, generator.uuid},
	{"client id", []string{"client_id", "clientId", "CLIENT_ID", "appId", "application_id", "AZURE_CLIENT_ID", "tenant_id", "subscription_id"}, generator.uuid},
	{"hex client id", []string{"client_id", "clientId", "oauth_client_id", "app_id"}, func(d generator) string { return d.from(hexes, 32) }},
	{"chain address", []string{"address", "contract_address", "tokenAddress", "token_address", "TOKEN_CONTRACT", "wallet", "from", "to"}, func(d generator) string { return "0x" + d.from(hexes, 40) }},
	{"chain hash", []string{"tx_hash", "transactionHash", "block_hash", "token_id", "topic"}, func(d generator) string { return "0x" + d.from(hexes, 64) }},
	{"stripe publishable", []string{"publishableKey", "STRIPE_PUBLISHABLE_KEY", "stripe_public_key"}, func(d generator) string { return "pk_live_" + d.from(base62, 24) }},
	{"posthog project key", []string{"posthog_key", "api_key", "NEXT_PUBLIC_POSTHOG_KEY"}, func(d generator) string { return "phc_" + d.from(base62, 43) }},
	{"new relic browser", []string{"licenseKey", "license_key", "NEW_RELIC_BROWSER_KEY"}, func(d generator) string { return "NRJS-" + d.from(hexes, 19) }},
	{"datadog client token", []string{"clientToken", "DD_CLIENT_TOKEN", "client_token"}, func(d generator) string { return "pub" + d.from(hexes, 32) }},
	{"mapbox public", []string{"accessToken", "MAPBOX_ACCESS_TOKEN", "access_token"}, func(d generator) string {
		return "pk." + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(`{"u":"acme","a":"cl`+d.from(alnum, 23)+`"}`)), "=") + "." + d.from(b64url, 22)
	}},
	{"supabase publishable", []string{"supabaseKey", "SUPABASE_PUBLISHABLE_KEY", "api_key"}, func(d generator) string { return "sb_publishable_" + d.from(b64url, 22) + "_" + d.from(b64url, 8) }},
	{"sealed secret", []string{"password", "api-token", "access_token", "client-secret"}, func(d generator) string {
		return "AgA" + d.from(b64, 600)
	}},
	{"sops", []string{"password", "api_token", "access_token", "client_secret"}, func(d generator) string {
		return "ENC[AES256_GCM,data:" + d.from(b64, 43) + "=,iv:" + d.from(b64, 43) + "=,tag:" + d.from(b64, 22) + "==,type:str]"
	}},
	{"eyaml", []string{"password", "api_token", "secret_key"}, func(d generator) string { return "ENC[PKCS7,MII" + d.from(b64, 380) + "]" }},
	{"ansible vault", []string{"password", "api_token"}, func(d generator) string { return "$ANSIBLE_VAULT;1.1;AES256" }},
	{"kms ciphertext", []string{"encrypted_password", "api_token", "ciphertext", "CiphertextBlob"}, func(d generator) string { return "AQICAHh" + d.from(b64, 200) + "==" }},
	{"vault transit", []string{"password", "api_token", "access_token"}, func(d generator) string { return "vault:v1:" + d.from(b64, 75) + "=" }},
	{"bcrypt", []string{"password", "password_hash", "token_hash", "secret"}, func(d generator) string { return "$2b$12$" + d.from(base62, 53) }},
	{"masked", []string{"access_token", "api_key", "Authorization", "session_token", "cookie"}, func(d generator) string {
		return []string{"***", "****", "[MASKED]", "<redacted>", "[FILTERED]", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "********************************", "(hidden)", "<masked>", "[REDACTED]", "••••••••••••••••"}[d.IntN(11)]
	}},
	{"placeholder", []string{"access_token", "api_key", "auth_token", "session_token", "API_TOKEN"}, func(d generator) string {
		return []string{"YOUR_API_KEY_HERE", "your-access-token", "<your-token>", "changeme", "replace-me-with-a-real-token", "INSERT_TOKEN_HERE", "example-token-value-1234567890", "my-super-secret-token", "dummy_token_for_testing_only", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0123456789abcdef0123456789abcdef", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "00000000-0000-0000-0000-000000000000"}[d.IntN(14)]
	}},
	{"template", []string{"access_token", "api_key", "auth_token", "session_token", "API_TOKEN"}, func(d generator) string {
		return []string{"${API_TOKEN}", "$GITHUB_TOKEN", "{{ secrets.token }}", "${{ secrets.GITHUB_TOKEN }}", "%(api_token)s", "$(vault read -field=token secret/app)", "process.env.API_TOKEN", "os.environ['API_TOKEN']", "{{ .Values.token }}", "#{ENV['API_TOKEN']}", "%API_TOKEN%", "@Microsoft.KeyVault(SecretUri=https://kv.corp.dev/secrets/token)", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf", "op://vault/item/token", "vault:secret/data/app#token"}[d.IntN(15)]
	}},
	{"identifier", []string{"token", "access_token", "api_key", "key", "secret"}, func(d generator) string {
		return []string{"getAccessTokenFromRequest", "AuthenticationTokenProvider", "s.ReadUint16LengthPrefixed", "config.session.secretKey", "response.data.accessToken", "com.example.auth.TokenService", "GITHUB_TOKEN", "github_token", "session_token_cookie_name", "X-Amz-Security-Token", "ACCESS_TOKEN_EXPIRATION_SECONDS", "tokenRefreshIntervalInSeconds"}[d.IntN(12)]
	}},
	{"analytics", []string{"_ga", "_gid", "__cf_bm", "_hjSessionUser_123", "ajs_anonymous_id", "AWSALB", "ARRAffinity", "_fbp", "OptanonConsent", "ai_session"}, func(d generator) string { return d.from(b64url, 43) }},
	{"path", []string{"token_file", "key_path", "session_dir", "TOKEN_PATH", "cache_key", "secret_name"}, func(d generator) string {
		return "/var/lib/app/" + d.from(lower, 8) + "/" + d.from(lower, 6) + "-" + d.from(hexes, 8) + "/token.json"
	}},
	{"aws ids", []string{"resource", "security_group", "vpc", "instance", "image", "key_pair_id"}, func(d generator) string { return "sg-" + d.from(hexes, 17) }},
	{"arn", []string{"role", "token_arn", "secret_arn", "key_arn"}, func(d generator) string {
		return "arn:aws:secretsmanager:eu-west-1:" + d.from(digits, 12) + ":secret:app-" + d.from(base62, 6)
	}},
	{"object id", []string{"_id", "user_id", "session_id_ref", "team_id", "document_id"}, func(d generator) string { return d.from(hexes, 24) }},
	{"nonce", []string{"nonce", "script_nonce", "oauth_nonce", "state", "code_challenge", "Sec-WebSocket-Key", "Sec-WebSocket-Accept"}, func(d generator) string { return d.from(b64, 22) + "==" }},
	{"public key", []string{"public_key", "publicKey", "ssh_public_key", "PUBLIC_KEY", "verifyKey"}, func(d generator) string { return "MCowBQYDK2VwAyEA" + d.from(b64, 43) + "=" }},
	{"ssh public key", []string{"ssh_key", "authorized_key", "public_key"}, func(d generator) string {
		return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + d.from(b64, 43) + " bob@host"
	}},
	{"build id", []string{"build_id", "buildHash", "GOBUILDID", "deployment_id", "bundle_hash", "cache-key", "cacheKey"}, func(d generator) string { return d.from(base62, 20) + "/" + d.from(base62, 20) }},
	{"h1", []string{"h1", "sum", "module_hash"}, func(d generator) string { return "h1:" + d.from(b64, 43) + "=" }},
	{"uid", []string{"uid", "resourceVersion", "lockIdentity", "nodeUid", "ownerUid"}, generator.uuid},
	{"date and version", []string{"token_version", "api_key_version", "session_started", "access_token_expires_at"}, func(d generator) string {
		return fmt.Sprintf("2026-09-%02dT10:%02d:00.123456Z", 1+d.IntN(28), d.IntN(60))
	}},
	{"dsn without secret", []string{"dsn", "SENTRY_DSN", "sentry_dsn"}, func(d generator) string {
		return "https://" + d.from(hexes, 32) + "@o" + d.from("123456789", 6) + ".ingest.sentry.io/" + d.from("123456789", 7)
	}},
}

// scenes are whole texts without a credential.
var scenes = []struct {
	name string
	text func(d generator) string
}{
	{"go.sum in a diff", func(d generator) string {
		return "diff --git a/go.sum b/go.sum\n+github.com/acme/lib v1.2.3 h1:" + d.from(b64, 43) + "=\n+github.com/acme/lib v1.2.3/go.mod h1:" + d.from(b64, 43) + "=\n-github.com/acme/token v0.1.0 h1:" + d.from(b64, 43) + "=\n"
	}},
	{"build info of a binary", func(d generator) string {
		return "\tpath\tcorp.dev/app\n\tdep\tgithub.com/acme/session-token\tv1.2.3\th1:" + d.from(b64, 43) + "=\n\tdep\tgithub.com/acme/apikey\tv0.3.0\th1:" + d.from(b64, 43) + "=\n\tbuild\tvcs.revision=" + d.from(hexes, 40) + "\n"
	}},
	{"npm lock", func(d generator) string {
		return indented(object{"packages": object{"node_modules/csrf-token": object{"version": "1.0.1", "resolved": "https://npm.corp.dev/csrf-token/-/csrf-token-1.0.1.tgz", "integrity": "sha512-" + d.from(b64, 86) + "=="}}})
	}},
	{"yarn lock", func(d generator) string {
		return "api-key@^1.0.0:\n  version \"1.0.1\"\n  resolved \"https://npm.corp.dev/api-key/-/api-key-1.0.1.tgz#" + d.from(hexes, 40) + "\"\n  integrity sha512-" + d.from(b64, 86) + "==\n"
	}},
	{"poetry lock", func(d generator) string {
		return "[[package]]\nname = \"itsdangerous-token\"\nfiles = [\n    {file = \"a-1.0.tar.gz\", hash = \"sha256:" + d.from(hexes, 64) + "\"},\n]\n"
	}},
	{"requirements", func(d generator) string {
		return "session-token==1.0 \\\n    --hash=sha256:" + d.from(hexes, 64) + " \\\n    --hash=sha256:" + d.from(hexes, 64) + "\n"
	}},
	{"baseline of another scanner", func(d generator) string {
		return "{\n  \"version\": \"1.4.0\",\n  \"plugins_used\": [],\n  \"results\": {\n    \"config/app.yml\": [\n      {\n        \"type\": \"Secret Keyword\",\n        \"filename\": \"config/app.yml\",\n        \"hashed_secret\": \"" + d.from(hexes, 40) + "\",\n        \"is_verified\": false,\n        \"line_number\": 12\n      }\n    ]\n  }\n}\n"
	}},
	{"gitleaks ignore", func(d generator) string {
		return d.from(hexes, 40) + ":config/app.yml:generic-api-key:12\n" + d.from(hexes, 40) + ":src/auth.go:jwt:3\n"
	}},
	{"sealed secret", func(d generator) string {
		return "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  encryptedData:\n    api-token: AgB" + d.from(b64, 684) + "\n    password: AgC" + d.from(b64, 684) + "\n"
	}},
	{"git log", func(d generator) string {
		return "commit " + d.from(hexes, 40) + "\nMerge: " + d.from(hexes, 7) + " " + d.from(hexes, 7) + "\n\n    Sourcegraph: rotate the api key token\n\nindex " + d.from(hexes, 10) + ".." + d.from(hexes, 10) + " 100644\n"
	}},
	{"docker push", func(d generator) string {
		return "latest: digest: sha256:" + d.from(hexes, 64) + " size: 1234\nexporting manifest sha256:" + d.from(hexes, 64) + " 0.0s done\n"
	}},
	{"x509 text", func(d generator) string {
		return "        X509v3 extensions:\n            X509v3 Subject Key Identifier: \n                " + bytesAs(string(d.bytes(20)), "%02X", ":") + "\n            X509v3 Authority Key Identifier: \n                keyid:" + bytesAs(string(d.bytes(20)), "%02X", ":") + "\n"
	}},
	{"assembly name", func(d generator) string {
		return "System.IO.FileNotFoundException: Could not load file or assembly 'Acme.Token, Version=1.0.0.0, Culture=neutral, PublicKeyToken=" + d.from(hexes, 16) + "'\n"
	}},
	{"html form", func(d generator) string {
		return "<form><input type=\"hidden\" name=\"authenticity_token\" value=\"" + d.from(b64url, 86) + "\" autocomplete=\"off\" /><input name=\"csrfmiddlewaretoken\" type=\"hidden\" value=\"" + d.from(base62, 64) + "\"></form>\n"
	}},
	{"content security policy", func(d generator) string {
		return "content-security-policy: script-src 'self' 'nonce-" + d.from(b64, 22) + "==' 'sha256-" + d.from(b64, 43) + "='\n"
	}},
	{"data address", func(d generator) string {
		return "background: url(data:image/png;base64,iVBORw0KGgo" + d.from(b64, 400) + "==);\n"
	}},
	{"source map", func(d generator) string {
		return `{"version":3,"sources":["token.js"],"names":["token","apiKey"],"mappings":"` + strings.Repeat("AAAA,"+d.from(base62, 5)+";", 40) + `"}`
	}},
	{"minified", func(d generator) string {
		return `var t=function(e){return e.token=e.accessToken||n.getToken("session"),r.apiKey=i(` + d.from(lower, 3) + `),e};function a(e){return btoa(e.sessionId+":"+e.secret)}` + "\n"
	}},
	{"constants", func(d generator) string {
		return "static const uint64_t session_keys[] = { 0x" + d.from(hexes, 16) + ", 0x" + d.from(hexes, 16) + ", 0x" + d.from(hexes, 16) + " };\n#define TOKEN_MAGIC 0x" + d.from(hexes, 8) + "\n"
	}},
	{"protobuf registration", func(d generator) string {
		return "\tproto.RegisterFile(\"token.proto\", fileDescriptor_" + d.from(hexes, 16) + ")\nvar fileDescriptor_" + d.from(hexes, 16) + " = []byte{\n\t// 231 bytes of a gzipped FileDescriptorProto\n\t" + bytesAs(string(d.bytes(48)), "0x%02x", ", ") + ",\n}\n"
	}},
	{"cryptobyte", func(d generator) string {
		return "\tvar session cryptobyte.String\n\tif !s.ReadUint16LengthPrefixed(&session) || !s.ReadUint24LengthPrefixedBytes(&token) {\n\t\treturn false\n\t}\n"
	}},
	{"curl documentation", func(d generator) string {
		return "Use `curl -H \"Authorization: Bearer $TOKEN\" https://api.corp.dev` or `curl -H 'X-Api-Key: <api-key>'`; `-b 'session=<value>'` sends a cookie, and `-u user:password` signs in.\n"
	}},
	{"request of a deployment", func(d generator) string {
		return "level=info msg=\"rolled out\" revision=" + d.from(hexes, 40) + " requestToken=" + d.uuid() + " replicaset=api-" + d.from(hexes, 10) + " lease_token=" + d.uuid() + "\n"
	}},
	{"terraform lock", func(d generator) string {
		return "provider \"registry.corp.dev/acme/token\" {\n  version = \"3.5.1\"\n  hashes = [\n    \"h1:" + d.from(b64, 43) + "=\",\n    \"zh:" + d.from(hexes, 64) + "\",\n  ]\n}\n"
	}},
	{"known hosts", func(d generator) string {
		return "|1|" + d.from(b64, 27) + "=|" + d.from(b64, 27) + "= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + d.from(b64, 43) + "\n"
	}},
	{"snapshot of a test", func(d generator) string {
		return "exports[`TokenForm renders 1`] = `\n<div class=\"css-" + d.from(alnum, 6) + "\" data-testid=\"session-token-input\" id=\"radix-" + d.from(alnum, 10) + "\" />\n`;\n"
	}},
	{"pgp signature", func(d generator) string {
		return "-----BEGIN PGP SIGNATURE-----\n\n" + strings.Join(wrapped("iQIzBAABCAAdFiEE"+d.from(b64, 400), 64), "\n") + "\n=" + d.from(b64, 4) + "\n-----END PGP SIGNATURE-----\n"
	}},
	{"certificate", func(d generator) string {
		return "-----BEGIN CERTIFICATE-----\n" + strings.Join(wrapped("MIID"+d.from(b64, 500), 64), "\n") + "\n-----END CERTIFICATE-----\n"
	}},
	{"kubectl describe", func(d generator) string {
		return "Name:         default-token-" + d.from(alnum, 5) + "\nType:  kubernetes.io/service-account-token\nAnnotations:  kubernetes.io/service-account.uid: " + d.uuid() + "\nData\n====\nca.crt:     1066 bytes\ntoken:      1024 bytes\n"
	}},
	{"environment of a runner", func(d generator) string {
		return "GITHUB_SHA=" + d.from(hexes, 40) + "\nGITHUB_TOKEN=***\nRUNNER_TRACKING_ID=github_" + d.uuid() + "\nImageVersion=20260901.1.0\nACTIONS_CACHE_KEY=node-cache-Linux-x64-npm-" + d.from(hexes, 64) + "\n"
	}},
}
