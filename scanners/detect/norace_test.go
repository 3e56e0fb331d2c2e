//go:build !race

package detect

const fewer = 1
