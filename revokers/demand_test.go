package revokers_test

import (
	"net/http"
	"testing"

	"github.com/quellhq/quell/revokers"
)

func TestAnswersThatAskForMoreThanTheCredential(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		challenge []string
		body      string
		want      bool
	}{
		"RFC 9470":                                   {401, []string{`Bearer error="insufficient_user_authentication", error_description="A different level", acr_values="myACR"`}, "", true},
		"RFC 9470, a parameter first, no quotes":     {401, []string{`Bearer realm="a, b", max_age=5, ERROR = insufficient_user_authentication`}, "", true},
		"RFC 9470 among others":                      {401, []string{`Basic realm="x"`, `bearer Error="Insufficient_User_Authentication"`}, "", true},
		"RFC 9449, a nonce":                          {401, []string{`DPoP error="use_dpop_nonce", error_description="nonce"`}, "", true},
		"RFC 9449, no other scheme":                  {401, []string{`DPoP algs="ES256 PS256"`}, "", true},
		"RFC 9449, about the proof":                  {401, []string{`DPoP error="invalid_dpop_proof", algs="ES256"`}, "", true},
		"RFC 9449, about the request":                {400, []string{`DPoP error="invalid_request"`}, "", true},
		"RFC 9449, its own invalid token":            {401, []string{`DPoP error="invalid_token", algs="ES256"`}, "", false},
		"an invalid token, and a nonce":              {401, []string{`DPoP error="invalid_token"`}, `{"error":"use_dpop_nonce"}`, true},
		"RFC 9449, at the token endpoint":            {400, nil, `{"error":"use_dpop_nonce"}`, true},
		"a bearer token is refused, DPoP is offered": {401, []string{`Bearer error="invalid_token", DPoP algs="ES256"`}, "", false},
		"a claims challenge":                         {401, []string{`Bearer realm="", authorization_uri="https://login.example/a?x=1,2", error="insufficient_claims", claims="eyJhIjoiYiJ9"`}, "", true},
		"conditional access in a document":           {400, nil, `{"error":"interaction_required","error_codes":[53003]}`, true},
		"a second factor":                            {403, nil, `{"error":{"code":"mfa_required"}}`, true},
		"an invalid token":                           {401, []string{`Bearer error="invalid_token"`}, `{"error":"invalid_token"}`, false},
		"the word in a description":                  {401, []string{`Bearer error="invalid_token", error_description="not insufficient_user_authentication"`}, "", false},
		"a page":                                     {401, nil, "interaction_required", false},
		"an answer that accepts":                     {200, []string{`DPoP algs="ES256"`}, `{"error":"interaction_required"}`, false},
	} {
		h := http.Header{}
		for _, v := range c.challenge {
			h.Add("WWW-Authenticate", v)
		}
		if got := revokers.Demand(c.status, h, []byte(c.body)); (got != "") != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
