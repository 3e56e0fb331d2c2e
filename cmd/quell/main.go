// Command quell finds leaked bearer tokens and session cookies, asks their
// issuers whether they are alive, kills them, and proves that they are dead.
package main

import (
	"os"

	"github.com/quellhq/quell/cmd/quell/internal/cli"
	"github.com/quellhq/quell/cmd/quell/internal/config"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, config.Environment(os.Environ(), os.Unsetenv)))
}
