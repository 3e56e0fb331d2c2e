//go:build race

package detect

// fewer is by how much tests repeat less under the race detector, which makes
// them ten times slower; CI runs them whole without it.
const fewer = 8
