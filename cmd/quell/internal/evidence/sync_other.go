//go:build !unix

package evidence

// syncDir does nothing: such systems can't open a folder to make its names durable.
func syncDir(string) error { return nil }
