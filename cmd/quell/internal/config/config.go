// Package config finds what a run works with besides its flags: the state
// folder, the installation's keys, secrets that are named and not written.
package config

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/rules"
)

// Dirs are the folders of an installation, by the XDG base directory
// specification (https://specifications.freedesktop.org/basedir-spec/).
type Dirs struct {
	State  string // keys, ledger
	Config string // policy.toml
	Cache  string // copies of repositories, which may be deleted at any time
}

// Find reads the environment. A folder that depends on HOME is an error without
// an absolute HOME: a relative one would be looked for in the working folder,
// which can be a scanned tree. Windows has LOCALAPPDATA and APPDATA instead; macOS
// follows the same specification as other systems.
func Find(getenv func(string) string) (Dirs, error) {
	if runtime.GOOS == "windows" {
		return findWindows(getenv, filepath.IsAbs)
	}
	home := getenv("HOME")
	var missing []string
	pick := func(env, rel string) string {
		if d := getenv(env); filepath.IsAbs(d) {
			return filepath.Join(d, "quell")
		}
		if !filepath.IsAbs(home) {
			missing = append(missing, env)
			return ""
		}
		return filepath.Join(home, rel, "quell")
	}
	d := Dirs{State: pick("XDG_STATE_HOME", ".local/state"), Config: pick("XDG_CONFIG_HOME", ".config")}
	needed := len(missing)
	if d.Cache = pick("XDG_CACHE_HOME", ".cache"); d.Cache == "" {
		d.Cache = filepath.Join(d.State, "cache")
	}
	if missing = missing[:needed]; len(missing) > 0 {
		return d, fmt.Errorf("HOME is not set to an absolute path, and neither is %s: there is no place for keys, policy and ledger", strings.Join(missing, ", "))
	}
	return d, nil
}

// findWindows is Find where the user's folders have Windows' variables. Those of the
// XDG specification count first, so that scripts for several systems agree.
func findWindows(getenv func(string) string, abs func(string) bool) (Dirs, error) {
	pick := func(names ...string) string {
		for _, n := range names {
			if d := getenv(n); abs(d) {
				return d
			}
		}
		return ""
	}
	state, conf, cache := pick("XDG_STATE_HOME", "LOCALAPPDATA"), pick("XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"), pick("XDG_CACHE_HOME")
	if state == "" || conf == "" {
		return Dirs{}, errors.New("LOCALAPPDATA or APPDATA is not set to an absolute path, and neither are XDG_STATE_HOME and XDG_CONFIG_HOME: there is no place for keys, policy and ledger")
	}
	d := Dirs{State: filepath.Join(state, "quell"), Config: filepath.Join(conf, "quell"), Cache: filepath.Join(state, "quell", "cache")}
	if cache != "" {
		d.Cache = filepath.Join(cache, "quell")
	}
	return d, nil
}

// PolicyFile is where a policy is read from unless a flag names another. It is
// never looked for in the scanned tree or the working folder.
func (d Dirs) PolicyFile() string { return filepath.Join(d.Config, "policy.toml") }

// LedgerFile is the default ledger.
func (d Dirs) LedgerFile() string { return filepath.Join(d.State, "ledger.db") }

// Keys are an installation's own.
type Keys struct {
	Fingerprint rules.FingerprintKey
	Identity    *age.X25519Identity // opens what was sealed here
	Sign        ed25519.PrivateKey
	// Temporary is set if the state folder can't be written: the keys end
	// with the process.
	Temporary error
}

// LoadKeys reads the keys and makes those that are missing. The fingerprint
// key may also come from QUELL_FINGERPRINT_KEY, 32 bytes in base64 or hex, so
// that short-lived machines agree.
func LoadKeys(d Dirs, getenv func(string) string) (*Keys, error) {
	k := &Keys{}
	raw, err := k.file(d, "fingerprint.key", func() ([]byte, error) { return random(32) })
	if err != nil {
		return nil, err
	}
	if s := getenv("QUELL_FINGERPRINT_KEY"); s != "" {
		if raw, err = decodeKey(s); err != nil {
			return nil, err
		}
	}
	if len(raw) != len(k.Fingerprint) {
		return nil, errors.New("fingerprint.key is damaged: it does not hold 32 bytes")
	}
	copy(k.Fingerprint[:], raw)
	id, err := k.file(d, "identity.txt", func() ([]byte, error) {
		i, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		return []byte(i.String() + "\n"), nil
	})
	if err != nil {
		return nil, err
	}
	if k.Identity, err = age.ParseX25519Identity(strings.TrimSpace(string(id))); err != nil {
		return nil, errors.New("identity.txt is damaged: it holds no age identity")
	}
	seed, err := k.file(d, "sign.key", func() ([]byte, error) { return random(ed25519.SeedSize) })
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("sign.key is damaged: it does not hold 32 bytes")
	}
	k.Sign = ed25519.NewKeyFromSeed(seed)
	return k, nil
}

func random(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := rand.Read(b)
	return b, err
}

func decodeKey(s string) ([]byte, error) {
	for _, f := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString, unhex} {
		if b, err := f(strings.TrimSpace(s)); err == nil && len(b) == 32 {
			return b, nil
		}
	}
	return nil, errors.New("QUELL_FINGERPRINT_KEY is not 32 bytes in base64 or hex")
}

func unhex(s string) ([]byte, error) {
	var b []byte
	_, err := fmt.Sscanf(s, "%x", &b)
	return b, err
}

// file reads a key file, or makes it so that of two processes which start at
// once both use the same key.
func (k *Keys) file(d Dirs, name string, make func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(d.State, name)
	b, err := os.ReadFile(path)
	if err == nil {
		return b, nil
	}
	fresh, err2 := make()
	if err2 != nil {
		return nil, err2
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path, fresh); err == nil {
			return os.ReadFile(path)
		}
	}
	k.Temporary = fmt.Errorf("%s: %w", path, reason(err))
	return fresh, nil
}

func create(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := output.WriteNew(path, b, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// ReadSecret resolves a reference to a secret: env:NAME or file:PATH. A secret
// written out in a policy file would be one more leak.
func ReadSecret(ref string, getenv func(string) string) (rules.Secret, error) {
	if ref == "" {
		return rules.Secret{}, nil
	}
	kind, arg, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		v := getenv(arg)
		if v == "" {
			if strings.ToUpper(arg) != arg {
				// It may be the secret itself.
				return rules.Secret{}, errors.New("no environment variable has the name that follows env: in the setting")
			}
			return rules.Secret{}, fmt.Errorf("the environment has no %s", arg)
		}
		return rules.NewSecretString(v), nil
	case "file":
		b, err := os.ReadFile(arg)
		if err != nil {
			return rules.Secret{}, fmt.Errorf("read %s: %w", arg, reason(err))
		}
		return rules.NewSecret(bytes.TrimRight(b, "\r\n")), nil
	}
	return rules.Secret{}, errors.New("a secret is named as env:NAME, file:PATH or vault:mount/path#field, never written out")
}

// Recipients parses age1… public keys; without any, the installation's own.
func (k *Keys) Recipients(names []string) ([]age.Recipient, []string, error) {
	if len(names) == 0 {
		r := k.Identity.Recipient()
		return []age.Recipient{r}, []string{r.String()}, nil
	}
	var out []age.Recipient
	for i, n := range names {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(n))
		if err != nil {
			// It may be the secret key, which no message contains.
			return nil, nil, fmt.Errorf("recipient %d is no age public key (hint: a public key begins with age1; a secret key does not belong here)", i+1)
		}
		out = append(out, r)
	}
	return out, names, nil
}
