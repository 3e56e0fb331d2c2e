//go:build !unix

package realtest

import "os/exec"

func grouped(*exec.Cmd) {}

func stop(c *exec.Cmd) { kill(c) }
func kill(c *exec.Cmd) { _ = c.Process.Kill() }
