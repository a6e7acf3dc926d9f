package compat

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var printTable = flag.Bool("table", false, "print what every environment did in every parity body")

// A body runs over one environment and tells what happened.
type body struct {
	name string
	run  func(t *testing.T, e env, tr *transcript)
}

// argued lists the bodies in which smolnet differs from the kernel on purpose,
// by what it does instead. Each is explained in DESIGN.md under the body's
// name.
var argued = map[string]string{}

// TestParity runs each body over the kernel's package net and over smolnet and
// demands the same transcript.
func TestParity(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	require.NoError(t, err)
	list := envs(t)
	for _, b := range bodies() {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			var want string
			for _, e := range list {
				tr := new(transcript)
				t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) { b.run(t, e, tr) })
				got := tr.String()
				require.NotEmpty(t, got, "the body observed nothing")
				if *printTable {
					t.Logf("%s\n%s", e.name, got)
				}
				if e.name == "kernel" {
					want = got
					continue
				}
				if instead, ok := argued[b.name]; ok {
					require.Contains(t, string(design), b.name, "the difference is not explained in DESIGN.md")
					require.NotEqual(t, want, got, "no difference any more: take it off the list")
					require.Equal(t, instead, got)
					continue
				}
				require.Equal(t, want, got, "%s differs from the kernel", e.name)
			}
		})
	}
}

func bodies() []body {
	var all []body
	all = append(all, deadlineBodies...)
	all = append(all, emptyBodies...)
	all = append(all, closeBodies...)
	all = append(all, resetBodies...)
	all = append(all, openBodies...)
	all = append(all, datagramBodies...)
	all = append(all, copyBodies...)
	return all
}
