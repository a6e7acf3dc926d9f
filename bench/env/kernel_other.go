//go:build !linux

package env

import (
	"fmt"
	"runtime"
)

// makeKernel is for Linux only.
func makeKernel(Config) (*Pair, error) {
	return nil, fmt.Errorf("%w: the kernel rows need Linux, this is %s", ErrUnavailable, runtime.GOOS)
}
