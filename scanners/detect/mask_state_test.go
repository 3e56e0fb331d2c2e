package detect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners"
)

// A finding in a log has what the runner's masking did to it.
func TestMaskState(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	const z = "2026-05-03T01:16:34.3352086Z "
	github := z + "Current runner version: '2.317.0'\n"
	gitlab := "Running with gitlab-runner 17.1.0 (1)\n"
	for name, c := range map[string]struct{ log, want string }{
		"in clear":                            {github + z + "password: ***\n" + z + pat + "\n" + z + "key: ***\n", scanners.MaskNone},
		"another value of its line is masked": {github + z + "login *** with " + pat + "\n", scanners.MaskLine},
		"likewise, after it":                  {github + z + pat + " for ***\n", scanners.MaskLine},
		"two asterisks are no mask":           {github + z + "**" + pat + "**\n", scanners.MaskNone},
		"GitLab's word":                       {gitlab + "curl -u [MASKED] " + pat + "\n", scanners.MaskLine},
		"a part is masked":                    {github + z + pat[:34] + "***\n", scanners.MaskPartial},
		"GitHub: the command that masks it":   {github + z + "::add-mask::" + pat + "\n", scanners.MaskRegistered},
		"Azure: the command that masks it":    {"2026-09-01T23:31:35.6707880Z ##[section]Starting: Job\n##vso[task.setvariable variable=T;issecret=true]" + pat + "\n", scanners.MaskRegistered},
		"a mask too far away":                 {github + z + "***" + strings.Repeat(" x", 4<<10) + " " + pat + "\n", scanners.MaskNone},
		"no CI system's log":                  {"login *** with " + pat + "\n", ""},
	} {
		got := placesIn(t, c.log)
		if len(got) != 1 || got[0].Notes["mask"] != c.want {
			t.Errorf("%s: %+v, not %q", name, got, c.want)
		}
	}
}

// A secret that is on the lines of several findings costs no more than its window.
func TestMaskStateOfALongLine(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("2026-05-03T01:16:34.3352086Z Current runner version: '2.317.0'\n")
	for n := range 2000 {
		fmt.Fprintf(&b, "%s ", withSum(fmt.Sprintf("ghp_%06dcD2eF3gH4iJ5kL6mN7oP8qRx", n)))
	}
	if got := placesIn(t, b.String()); len(got) != 2000 || got[1000].Notes["mask"] != scanners.MaskNone {
		t.Errorf("%d findings", len(got))
	}
}
