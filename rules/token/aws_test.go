package token

import "testing"

func TestTheAccountOfAnAccessKeyID(t *testing.T) {
	for id, want := range map[string]string{
		"ASIA" + "QNZGKIQY56JQ7WML": "029608264753",
		"ASIA" + "Y34FZKBOKMUTVV7A": "609629065308",
		"AKIA" + "short":            "",
		"AKIA" + "0189000000000000": "",
		"ABIA" + "QNZGKIQY56JQ7WML": "",
	} {
		if got := AWSAccount(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
