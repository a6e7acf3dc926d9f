//go:build !linux

package phy

import (
	"errors"
	"fmt"
	"runtime"
)

// ConfigureHost returns an error that wraps [errors.ErrUnsupported].
func ConfigureHost(name string, cfg HostConfig) error {
	return fmt.Errorf("phy: configure %s: %w on %s", name, errors.ErrUnsupported, runtime.GOOS)
}
