package testenv

import "testing"

// AsOrdinaryUser reports false: there is no root.
func AsOrdinaryUser(*testing.T) bool { return false }
