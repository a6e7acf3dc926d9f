//go:build !linux

package hostside

import (
	"errors"
	"fmt"
	"runtime"
)

// Configure returns an error that wraps [errors.ErrUnsupported].
func Configure(name string, cfg Config) error {
	return fmt.Errorf("hostside: configure %s: %w on %s", name, errors.ErrUnsupported, runtime.GOOS)
}
