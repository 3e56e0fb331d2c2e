package config

import (
	"strings"
	"testing"
)

func TestWindowsFolders(t *testing.T) {
	abs := func(p string) bool { return strings.HasPrefix(p, `C:\`) }
	for name, c := range map[string]struct {
		env  map[string]string
		want string // of State
		ok   bool
	}{
		"the user's folders":      {map[string]string{"LOCALAPPDATA": `C:\Users\a\AppData\Local`, "APPDATA": `C:\Users\a\AppData\Roaming`}, `C:\Users\a\AppData\Local`, true},
		"XDG first":               {map[string]string{"LOCALAPPDATA": `C:\l`, "APPDATA": `C:\r`, "XDG_STATE_HOME": `C:\s`}, `C:\s`, true},
		"a relative one is none":  {map[string]string{"LOCALAPPDATA": `AppData`, "APPDATA": `C:\r`}, "", false},
		"HOME alone says nothing": {map[string]string{"HOME": `C:\home`}, "", false},
	} {
		d, err := findWindows(func(k string) string { return c.env[k] }, abs)
		if (err == nil) != c.ok || c.ok && !strings.HasPrefix(d.State, c.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
