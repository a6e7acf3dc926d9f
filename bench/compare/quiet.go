package main

import (
	"context"
	"time"
)

// When the machine counts as quiet.
const (
	quietWindow   = 200 * time.Millisecond // that is looked at
	quietShare    = 0.1                    // of one CPU, used by others
	quietPatience = 5 * time.Second
)

// A gauge looks for some time at how much CPU time, in CPUs, everything but this
// process uses. It is not ok where this cannot be told.
type gauge func(ctx context.Context, window time.Duration) (share float64, ok bool)

// waitQuiet waits until the machine is quiet, and reports whether it is.
func waitQuiet(ctx context.Context, look gauge) bool {
	for range int(quietPatience / quietWindow) {
		share, ok := look(ctx, quietWindow)
		if !ok || share < quietShare {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return false
}
