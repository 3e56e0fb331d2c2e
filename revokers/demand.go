package revokers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// demands are the error codes by which an issuer asks for more than the
// credential, whether that is live or not.
var demands = map[string]string{
	"insufficient_user_authentication": "a stronger or a newer sign-in (RFC 9470)",
	"use_dpop_nonce":                   "proof of possession (RFC 9449)",
	"invalid_dpop_proof":               "proof of possession (RFC 9449)",
	"insufficient_claims":              "claims of conditional access (a claims challenge)",
	"interaction_required":             "an interaction with the user (OpenID Connect Core 1.0, 3.1.2.6)",
	"mfa_required":                     "a second factor",
}

// Demand returns what a response requires besides the credential, empty if
// nothing: a live credential gets such an answer too, so it is no refusal.
// Demand reads the challenges (RFC 9110, 11.6.1) and the member error of a
// JSON body. The operator's dead_marker does not override a demand: the issuer has
// not checked whether the credential is live.
//
// quell presents tokens as bearer tokens, without a proof of possession. A
// challenge of the scheme DPoP alone, without an error or with one about the
// request, means that the scheme was wrong. With error="invalid_token" (RFC 9449,
// 7.1) either the token is invalid, or it is bound to a key and was presented
// without it: this is a refusal, and Judge decides what it proves.
func Demand(status int, h http.Header, body []byte) string {
	if status < 400 || status > 499 {
		return ""
	}
	challenges := h.Values("WWW-Authenticate")
	for _, c := range challenges {
		for _, e := range elements(c) {
			if d := demands[errorOf(e)]; d != "" {
				return d
			}
		}
	}
	// An issuer that takes the token with a proof only names no other scheme.
	if Schemes(challenges) == "dpop" && !refusesToken(challenges) {
		return demands["use_dpop_nonce"]
	}
	var doc struct {
		Error any `json:"error"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	code, _ := doc.Error.(string)
	if o, ok := doc.Error.(map[string]any); ok {
		code, _ = o["code"].(string)
	}
	return demands[strings.ToLower(code)]
}

// refusesToken reports whether a challenge has the error code that is about the
// token and not about the request (RFC 6750, 3.1).
func refusesToken(challenges []string) bool {
	return slices.ContainsFunc(challenges, func(c string) bool {
		return slices.ContainsFunc(elements(c), func(e string) bool { return errorOf(e) == "invalid_token" })
	})
}

// errorOf returns the value of an element error=VALUE of a challenge, with or
// without the scheme that begins it, in lower case.
func errorOf(element string) string {
	name, value, ok := strings.Cut(element, "=")
	if !ok {
		return ""
	}
	words := strings.Fields(name)
	if len(words) == 0 || !strings.EqualFold(words[len(words)-1], "error") {
		return ""
	}
	return strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
}
