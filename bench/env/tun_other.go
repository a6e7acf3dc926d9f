//go:build !linux

package env

// makeTUN is for Linux only.
func makeTUN(string, Config, TUN) (*Pair, error) { return makeKernel(Config{}) }
