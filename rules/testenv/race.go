//go:build race

package testenv

// Fewer is the factor by which tests repeat less under the race detector, which makes them ten
// times slower. make test runs the packages that use it in full without the detector too.
const Fewer = 8
