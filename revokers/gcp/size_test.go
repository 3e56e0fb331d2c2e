package gcp

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/credential"
)

// Text of anyone's can hold a key that takes minutes to be checked.
func TestAHugeKeyIsNotRead(t *testing.T) {
	huge := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes.Repeat([]byte{0x30}, maxKey+1)})
	if _, err := private(credential.NewSecretString(string(huge))); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
	cut := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes.Repeat([]byte{0x30}, maxKey)})
	if _, err := private(credential.NewSecretString(string(cut))); err == nil || strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
}
