//go:build race

package detect

// fewer is the factor by which tests repeat less under the race detector, which makes them ten
// times slower; CI also runs them in full without it.
const fewer = 8
