//go:build !race

package testenv

// Fewer is the factor by which tests repeat less under the race detector.
const Fewer = 1
