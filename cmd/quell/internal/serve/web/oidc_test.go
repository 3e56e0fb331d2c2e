package web

import (
	"maps"
	"testing"
)

func TestWhoTheProviderSignsIn(t *testing.T) {
	o := &OIDC{Read: []string{"group:security", "carol@corp.example"}, Approve: []string{"alice@corp.example", "group:leads"}}
	type claims = map[string]any
	for name, c := range map[string]struct {
		token, info   claims
		read, approve bool
	}{
		"listed":                          {claims{"email": "alice@corp.example", "email_verified": true}, nil, true, true},
		"listed, in another case":         {claims{"email": "Alice@Corp.example", "email_verified": "true"}, nil, true, true},
		"not verified":                    {claims{"email": "alice@corp.example", "email_verified": false}, nil, false, false},
		"not verified, as text":           {claims{"email": "alice@corp.example", "email_verified": "false"}, nil, false, false},
		"no word about it":                {claims{"email": "alice@corp.example"}, nil, false, false},
		"verified by userinfo":            {claims{"email": "alice@corp.example"}, claims{"email": "alice@corp.example", "email_verified": true}, true, true},
		"another address is verified":     {claims{"email": "alice@corp.example"}, claims{"email": "mallory@evil.example", "email_verified": true}, false, false},
		"userinfo can't verify it":        {claims{"email": "alice@corp.example", "email_verified": false}, claims{"email": "alice@corp.example", "email_verified": true}, false, false},
		"all from userinfo":               {claims{"sub": "1"}, claims{"email": "carol@corp.example", "email_verified": true}, true, false},
		"not listed":                      {claims{"email": "mallory@corp.example", "email_verified": true}, nil, false, false},
		"not listed, of a group":          {claims{"email": "mallory@corp.example", "email_verified": true, "groups": []any{"x", "leads"}}, nil, true, true},
		"a name that looks like a group":  {claims{"email": "group:leads", "email_verified": true}, nil, false, false},
		"a group that looks like a name":  {claims{"email": "m@corp.example", "email_verified": true, "groups": []any{"alice@corp.example"}}, nil, false, false},
		"an address that is no text":      {claims{"email": []any{"alice@corp.example"}, "email_verified": true}, nil, false, false},
		"a verified address that is none": {claims{"email": " ", "email_verified": true}, nil, false, false},
	} {
		all := maps.Clone(c.token)
		join(all, c.info)
		v, why := o.visitor(all)
		if got := why == ""; got != c.read || v.Approve != c.approve {
			t.Errorf("%s: read %v, approve %v: %s", name, got, v.Approve, why)
		}
	}
}
