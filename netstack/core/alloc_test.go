//go:build !race

package core_test

// Not with the race detector, under which sync.Pool forgets on purpose.

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Steady state allocates nothing, per segment or per turn.
func TestNoAllocations(t *testing.T) {
	for name, opts := range map[string][]option{"ethernet": nil, "ip": {bareIP}, "intact": {intactLink}} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, opts...)
			for range 300 {
				f.step()
			}
			frames := 0
			perRun := testing.AllocsPerRun(200, func() { frames += f.step() })
			require.Greater(t, frames, 2000)
			require.Less(t, perRun, 1.0, "allocations per turn")
		})
	}
}
