package rules

import "github.com/quellhq/quell/rules/credential"

// The types of package credential under their former names.
type (
	Secret         = credential.Secret
	FingerprintKey = credential.FingerprintKey
	Finding        = credential.Finding
	Credential     = credential.Credential
	Location       = credential.Location
	Span           = credential.Span
	Confidence     = credential.Confidence
	Kind           = credential.Kind
	Offline        = credential.Offline
	OfflineState   = credential.OfflineState
	Ref            = credential.Ref
	Claims         = credential.Claims
)

const (
	Redacted         = credential.Redacted
	Low              = credential.Low
	Medium           = credential.Medium
	High             = credential.High
	OfflineUnknown   = credential.OfflineUnknown
	OfflineExpired   = credential.OfflineExpired
	OfflineUnexpired = credential.OfflineUnexpired

	KindAPIKey        = credential.KindAPIKey
	KindBearer        = credential.KindBearer
	KindRefresh       = credential.KindRefresh
	KindSessionCookie = credential.KindSessionCookie
	KindJWT           = credential.KindJWT
	KindUnsigned      = credential.KindUnsigned
	KindPassword      = credential.KindPassword
	KindPrivateKey    = credential.KindPrivateKey
	KindPublic        = credential.KindPublic
	KindOther         = credential.KindOther
)

// NewSecret copies b.
func NewSecret(b []byte) Secret { return credential.NewSecret(b) }

// NewSecretString copies s.
func NewSecretString(s string) Secret { return credential.NewSecretString(s) }

// JoinSecrets concatenates the pieces of a cookie that was sent in several.
func JoinSecrets(list ...Secret) Secret { return credential.JoinSecrets(list...) }

// ParseConfidence reads low, medium or high.
func ParseConfidence(s string) (Confidence, bool) { return credential.ParseConfidence(s) }
