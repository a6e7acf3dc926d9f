package archtest

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A layer says which of our own packages the packages of a folder may import.
// Both sides may end in "/...", which stands for a folder and all below it.
type layer struct {
	dir  string
	uses []string
}

// layers is the picture of DESIGN.md, section Shape, as a table: a package may
// import what its row names and nothing else of ours. A package's row is the
// first that fits.
var layers = []layer{
	{"phy", []string{"netstack/siphash", "netstack/wire"}},
	{"phy/hostside", nil},
	{"phy/phytest", []string{"netstack/wire", "phy"}},

	{"netstack/clock", nil},
	{"netstack/errno", nil},
	{"netstack/wire", nil},
	{"netstack/stream", nil},
	{"netstack/siphash", nil},
	{"netstack/ports", []string{"netstack/siphash"}},
	{"netstack/timer", []string{"netstack/clock"}},
	{"netstack/token", []string{"netstack/clock"}},
	{"netstack/route", []string{"netstack/clock", "netstack/errno"}},
	{"netstack/packet", []string{"netstack/clock", "netstack/errno", "netstack/stream", "netstack/wire"}},
	{"netstack/neighbor", []string{"netstack/clock", "netstack/packet", "netstack/timer", "netstack/wire"}},
	{"netstack/congestion", []string{"netstack/clock"}},
	{"netstack/tcp", []string{
		"netstack/clock", "netstack/congestion", "netstack/errno", "netstack/siphash", "netstack/stream", "netstack/wire",
	}},
	{"netstack/core", []string{
		"netstack/clock", "netstack/errno", "netstack/neighbor", "netstack/packet", "netstack/ports", "netstack/route",
		"netstack/congestion", "netstack/siphash", "netstack/stream", "netstack/tcp", "netstack/timer", "netstack/token", "netstack/wire", "phy",
	}},
	{"netstack/netsim", []string{
		"netstack/clock", "netstack/congestion", "netstack/core", "netstack/errno", "netstack/route", "netstack/stream",
		"netstack/tcp", "netstack/wire", "phy",
	}},

	{"netstack", []string{"netstack/...", "phy"}},
	{"conn", []string{"netstack/...", "phy"}},
	{"dialer", []string{"conn", "netstack/...", "phy"}},
	{"listener", []string{"conn", "netstack/...", "phy"}},
	{"adapters/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/..."}},

	{"internal/archtest", nil},
	{"internal/netns", nil},
	{"internal/twostacks", []string{"netstack/...", "phy"}},
	{"internal/rfcmap", nil},
	{"internal/script", []string{
		"netstack/clock", "netstack/congestion", "netstack/core", "netstack/errno", "netstack/stream", "netstack/tcp",
		"netstack/wire", "phy",
	}},
	{"internal/cli", []string{"netstack/...", "phy", "phy/hostside"}},
	{"examples/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/...", "internal/cli"}},
	{"compat_test/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/...", "compat_test/..."}},
	{"bench/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "phy/hostside", "adapters/...", "internal/cli", "internal/netns", "bench/..."}},
}

// Layers finds imports that do not point up the page, and packages that the
// table does not know. Tests may import what they like: the compiler keeps
// them out of programs.
func Layers(f *File) []Finding {
	i := slices.IndexFunc(layers, func(l layer) bool { return within(f.Dir, l.dir) })
	if i < 0 {
		return []Finding{f.finding("layer-unknown", f.Syntax.Package,
			"package %s has no row in the table layers of internal/archtest/layers.go: add one that says what it may import", f.Dir)}
	}
	if f.Test {
		return nil
	}
	var found []Finding
	for _, spec := range f.Syntax.Imports {
		p, ours := strings.CutPrefix(importPath(spec), Module+"/")
		if !ours || slices.ContainsFunc(layers[i].uses, func(use string) bool { return within(p, use) }) {
			continue
		}
		found = append(found, f.finding("layer-import", spec.Pos(), "%s may not import %s (internal/archtest/layers.go)", f.Dir, p))
	}
	return found
}

// product are the packages that users build programs from.
var product = []string{"phy", "netstack", "conn", "dialer", "listener"}

// linkable are the import paths, each with all below it, that a program made
// of the product's packages may link beside the standard library.
var linkable = []string{
	Module + "/phy", Module + "/netstack", Module + "/conn", Module + "/dialer", Module + "/listener",
	"golang.org/x/net", "golang.org/x/sys",
}

// heavy are packages of the standard library, each with all below it, that
// would make small programs big: users on phones and routers count bytes. Where
// the stack has no other source of random numbers it takes crypto/rand.
var heavy = []string{"crypto", "encoding/json", "html", "log/slog", "math/big", "net/http", "text"}

// Linked finds packages in the output of go list -deps that a user's program
// must not carry: other stacks, test helpers, anything nobody agreed to. list
// has one line per package, its import path preceded by "std " for those of
// the standard library.
func Linked(list []byte) []Finding {
	return listed(list, "links", func(p string, std bool) bool {
		if std {
			return p == "testing" || strings.HasPrefix(p, "testing/")
		}
		return !below(p, linkable)
	})
}

// Heavy finds packages in such a list that make a program big.
func Heavy(list []byte) []Finding {
	return listed(list, "carries", func(p string, std bool) bool { return std && below(p, heavy) })
}

func below(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(p, root+"/...") })
}

// listed finds the packages in the output of go list -deps that are bad.
func listed(list []byte, verb string, bad func(p string, std bool) bool) []Finding {
	var found []Finding
	lines := bufio.NewScanner(bytes.NewReader(list))
	for n := 1; lines.Scan(); n++ {
		if p, std := strings.CutPrefix(lines.Text(), "std "); bad(p, std) {
			found = append(found, Finding{Rule: "linked", Path: "go list -deps", Line: n,
				Text: fmt.Sprintf("a program made of %s %s %s", strings.Join(product, ", "), verb, p)})
		}
	}
	return found
}
